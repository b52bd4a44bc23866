"""The folder that `psp predict` writes, and which pictures in it are finished.

    settings.json            the weights and settings of these results, with a fingerprint of both
    legend.png               class names and colors
    labels/NAME.png          and other folders: a picture's file of each chosen writer (writers/)
    labels.tar               and others: the same files in tars, with --pack tar (packs.py)
    predictions.jsonl        one line per picture: the share of each class, or the error
    predictions/K-of-N.jsonl the same for one share of the pictures, while several calls work

A picture's record is written after its files, and includes the fingerprint and which writers wrote
files. So a picture is finished if there is a record with the same fingerprint and source file for
each chosen writer, and its files exist. This holds for any number of calls, shares and
interruptions. Which writers are chosen is not part of the fingerprint.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from psp.errors import PspError
from psp.files import json_line, make_folder, write, write_json, writing
from psp.images.kinds import LeftOut
from psp.predict.lines import Lines
from psp.predict.new_folder import make_whole, remove_left
from psp.predict.packs import Packs, end_of
from psp.predict.pictures import some_of
from psp.predict.records import LONGEST_RECORD, RECORDS, is_begun, parse_record, unused
from psp.predict.settings import SETTINGS, Settings, read_settings
from psp.predict.states import State, source_state
from psp.predict.writers.writer import Results, Writer
from psp.ranks import Share

LEGEND = "legend.png"
REMEDY = "Choose another -o, or write into it over the same names with --overwrite"


def is_predictions(folder: Path) -> bool:
    """Whether psp predict wrote this folder, so that the pictures in it are not inputs."""
    if read_settings(folder) is not None:
        return True
    return all((folder / name).exists() for name in (LEGEND, "labels", "overlays"))


class PredictionFolder:
    """A folder of results as one share of the work sees it. `open` makes the folder."""

    def __init__(
        self,
        out: Path,
        settings: Settings,
        share: Share,
        writers: Sequence[Writer],
        pack: bool = False,
        names: Container[str] | None = None,
    ) -> None:
        """`names` are the pictures that will be asked for; None: any."""
        self.out, self.share, self.writers = out, share, writers
        self.pack, self.packs = pack, Packs(out, share, writers)
        self._unwritten: list[bytes] = []  # records of what is in tars, but perhaps not on the disk
        self.settings = settings.in_folder(read_settings(out))
        self._file: IO[bytes] | None = None
        self._states: dict[str, State] = {}  # of the results with a record
        for record, _ in self._records():
            name = record["name"]
            if "error" not in record and (names is None or name in names):
                self._states[name] = State.of(record).after(self._states.get(name))

    def conflict(self) -> str | None:
        """Return why these results must not be written into the existing folder, or None."""
        if is_begun(self.out):
            return None
        stored = read_settings(self.out)
        if not self.out.is_dir():
            return "exists already, and is not a folder"
        if stored is None:
            return "exists already, and has other contents"
        if stored.get("fingerprint") == self.settings.fingerprint:
            return None
        differences = self.settings.differences(stored.get("deciding", {}))
        return f"its label maps were made with other settings ({differences or 'of another psp'})"

    def finished(self, name: str, path: Path) -> bool:
        """Whether a picture's result is there, complete, and made from this source file.

        Raises PspError if it was made from another file of that name.
        """
        before = self._states.get(name)
        if before is None:
            return False
        source, *content = source_state(path)
        unchanged = before.content == tuple(content)
        if before.source != source and not unchanged:
            raise PspError(
                f"{self.out}: '{name}' in it is the result of {before.source}, and would now be "
                f"that of {path}. {REMEDY}"
            )
        optional = {writer.name for writer in self.writers if writer.optional}
        files = {key: path for key, path in self.paths(name).items() if key not in optional}
        return (
            unchanged
            and before.written >= files.keys()
            and all(_is_written(files[key]) or self._is_packed(name, key) for key in files)
        )

    def _is_packed(self, name: str, writer: str) -> bool:
        state = self._states[name]
        place = dict(state.packed).get(writer)
        return place is not None and self.packs.holds(place, writer, name, state.content[1])

    def paths(self, name: str) -> dict[str, Path]:
        """Return a picture's files by the names of their writers."""
        return {
            writer.name: self.out / writer.folder / f"{name}{writer.suffix}"
            for writer in self.writers
            if writer.write
        }

    @property
    def opened(self) -> bool:
        """Whether the folder exists and is ready for records of this share."""
        return self._file is not None

    def open(self, legend: Callable[[], bytes], overwrite: bool) -> None:
        """Make the folder if needed, with settings and legend, and get ready to write records.

        The folder appears with both files in it, so calls that start at the same time see all of it
        or nothing. Raises PspError if it cannot be made, has other contents, or another process
        works on the same share of it.
        """
        mark = f".{self.share}"
        if not os.path.lexists(self.out):
            make_whole(self.out, mark, lambda new: self._write_head(new, legend, mark))
        if (reason := self.conflict()) and not overwrite:
            raise PspError(f"{self.out}: {reason}. {REMEDY}")
        self._file = self._open_records(self._own_records)  # nothing is changed without the lock
        if self.pack:
            self.packs.open({} if overwrite else self._pack_ends())
        remove_left(self.out, mark, (SETTINGS, LEGEND))
        if is_begun(self.out):
            self._write_head(self.out, legend, mark)
        elif reason := self.conflict():
            if not overwrite:
                raise PspError(f"{self.out}: {reason}. {REMEDY}")
            self._write_head(self.out, legend, mark)
        elif not (self.out / LEGEND).exists():
            write(self.out / LEGEND, legend(), mark)

    def _pack_ends(self) -> dict[str, int]:
        """Return where the last recorded member of each of this share's tars ends."""
        ends: dict[str, int] = {}
        for record, _ in self._records():  # read again: now nobody else writes them
            for writer, place in record.get("packed", {}).items():
                if self.packs.files.get(writer) == place[0] and self.packs.holds(
                    place, writer, record["name"], record["changed"]
                ):
                    ends[place[0]] = max(ends.get(place[0], 0), end_of(place))
        return ends

    def _open_records(self, path: Path) -> IO[bytes]:
        """Open a file of records to append to, locked against other processes."""
        make_folder(path.parent)
        file = path.open("ab+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PspError(
                f"{self.out}: another psp predict is writing into it. Wait for it, or divide the "
                "work: --part 1/2 and --part 2/2"
            ) from None
        except OSError:  # a file system without locks
            pass
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")  # an earlier call was killed while it wrote a line
        return file

    def _write_head(self, folder: Path, legend: Callable[[], bytes], mark: str) -> None:
        make_folder(folder)
        write_json(folder / SETTINGS, self.settings.to_dict(), mark)
        write(folder / LEGEND, legend(), mark)

    def record(
        self,
        name: str,
        source: Path,
        result: Mapping[str, Any],
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Append a picture's record; `result` has its size, shares and seconds, or its error.

        `files` are appended to the tars first, if there are any.
        """
        assert self._file is not None
        path, size, changed = source_state(source)
        line = {"name": name, "source": path, "bytes": size, "changed": changed, **result}
        if "error" not in result:
            packed = tuple(self.packs.add(name, changed, files).items()) if files else ()
            now = State(path, (size, changed), frozenset(self.paths(name)), packed)
            now = now.after(self._states.get(name))
            line["written"] = sorted(now.written)
            if now.packed:
                line["packed"] = dict(now.packed)
        line["made_with"] = self.settings.fingerprint
        self._unwritten.append(json_line(line).encode() + b"\n")
        if not self.pack or self.packs.due:
            self._write_records()

    def _write_records(self) -> None:
        """Write the records of what is on the disk by now."""
        assert self._file is not None
        self.packs.sync()
        self._file.write(b"".join(self._unwritten))
        self._unwritten = []
        self._file.flush()

    def close(self) -> None:
        """Close the file of records, and the tars."""
        if self._file is not None:
            with self._file:
                self._write_records()
                self.packs.close()
            self._file = None

    def merge(self, names: Collection[str]) -> bool:
        """Rewrite predictions.jsonl from the records of all shares, once all `names` have one.

        It then has one line per picture, sorted by name: the last record, or one of the same source
        file that more writers wrote for; but no error if there is a result. Returns whether all
        have a record.
        """
        if self._file is not None:
            self._write_records()
        lines = Lines()
        for record, line in self._records():
            written = None if "error" in record else State.of(record).written
            lines.add(record, line, written)
        if not lines.has(names):
            return False
        with contextlib.ExitStack() as stack:
            if self.share.total > 1 and not stack.enter_context(unused(self.out / RECORDS)):
                return False  # a call for all pictures appends to it, and merges at its end
            files: dict[Path, IO[bytes]] = {}
            temporary = stack.enter_context(writing(self.out / RECORDS, f".{self.share}"))
            merged = stack.enter_context(temporary.open("wb"))
            for path, offset, length in lines:
                if path not in files:
                    files[path] = stack.enter_context(path.open("rb"))
                files[path].seek(offset)
                merged.write(files[path].read(length))
        return True

    def collect(self, palette: tuple[tuple[int, int, int], ...], left_out: LeftOut) -> None:
        """Write each chosen writer's file of all pictures, from the merged predictions.jsonl."""
        results = Results(
            self.out,
            self.out / RECORDS,
            self.settings.classes,
            palette,
            tuple(self.writers),
            left_out,
        )
        for writer in self.writers:
            if writer.collect:
                write(self.out / writer.file, writer.collect(results), f".{self.share}")

    @property
    def _own_records(self) -> Path:
        if self.share.total == 1:
            return self.out / RECORDS
        return self.out / "predictions" / f"{self.share}.jsonl"

    def _records(self) -> Iterator[tuple[dict[str, Any], tuple[Path, int, int]]]:
        """Yield each record of the same fingerprint with its line: file, offset, length."""
        for path in (self.out / RECORDS, *sorted((self.out / "predictions").glob("*.jsonl"))):
            if not path.is_file():
                continue
            with path.open("rb") as file:
                offset = 0
                while line := file.readline(LONGEST_RECORD):
                    record = parse_record(line)
                    if record and record["made_with"] == self.settings.fingerprint:
                        yield record, (path, offset, len(line))
                    offset += len(line)


def choose_folder(
    candidates: Iterable[Path],
    settings: Settings,
    share: Share,
    writers: Sequence[Writer],
    pictures: Mapping[str, Path],
    overwrite: bool,
    pack: bool = False,
    more: bool = False,
) -> tuple[PredictionFolder, Mapping[str, Path]]:
    """Return the first candidate that the results may go into, and the unfinished pictures.

    `more`: others than these pictures will be asked for, too.

    With `overwrite` that is the first candidate, and all pictures. Raises the PspError of the last
    candidate if none will do.
    """
    for path in candidates:
        folder = PredictionFolder(path, settings, share, writers, pack, None if more else pictures)
        if overwrite:
            return folder, pictures
        try:
            if conflict := folder.conflict():
                raise PspError(f"{path}: {conflict}. {REMEDY}")
            unfinished = [name for name, p in pictures.items() if not folder.finished(name, p)]
            return folder, some_of(pictures, unfinished)
        except PspError as error:
            last_error = error
    raise last_error


def _is_written(path: Path) -> bool:
    """Whether a file exists and is not empty, as a crash of the machine may leave it."""
    try:
        return path.stat().st_size > 0
    except OSError:  # it does not exist, or its name is too long
        return False

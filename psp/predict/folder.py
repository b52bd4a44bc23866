"""The folder that `psp predict` writes, and which pictures in it are finished.

    settings.json            the weights and settings of these results, with a fingerprint of both
    legend.png               class names and colors
    labels/NAME.png          palette PNG of the picture's size; its values are class ids
    overlays/NAME.jpg        the classes' colors over the picture
    probabilities/NAME.npz   if asked for: `probabilities`, float16 (classes, H, W)
    predictions.jsonl        one line per picture: the share of each class, or the error
    predictions/K-of-N.jsonl the same for one share of the pictures, while several calls work

A picture's record is written after its files, and includes the fingerprint. So a picture is
finished if it has a record with the same fingerprint and source file, and its files exist. This
holds for any number of calls, shares and interruptions.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from psp.errors import PspError
from psp.files import is_free, json_line, make_folder, write, write_json, writing
from psp.predict.settings import SETTINGS, Settings, read_settings
from psp.ranks import Share

RECORDS, LEGEND = "predictions.jsonl", "legend.png"
REMEDY = "Choose another -o, or write into it over the same names with --overwrite"


def is_predictions(folder: Path) -> bool:
    """Whether psp predict wrote this folder, so that the pictures in it are not inputs."""
    if read_settings(folder) is not None:
        return True
    return all((folder / name).exists() for name in (LEGEND, "labels", "overlays"))


class PredictionFolder:
    """A folder of results as one share of the work sees it. `open` makes the folder."""

    def __init__(
        self, out: Path, settings: Settings, share: Share, suffixes: Mapping[str, str]
    ) -> None:
        """`suffixes` maps the sub-folders of a finished picture's files to their file suffixes."""
        self.out, self.settings, self.share, self.suffixes = out, settings, share, suffixes
        self._file: IO[bytes] | None = None
        self._sources: dict[str, tuple[str, int, int]] = {}  # of the results with a record
        for record, _ in self._records():
            if "error" not in record:
                source = (record["source"], record["bytes"], record["changed"])
                self._sources[record["name"]] = source

    def conflict(self) -> str | None:
        """Return why these results must not be written into the existing folder, or None."""
        if is_free(self.out):
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

    def finished(self, name: str, source: Path) -> bool:
        """Whether a picture's result is there, complete, and made from this source file.

        Raises PspError if it was made from another file of that name.
        """
        before = self._sources.get(name)
        if before is None or not all(map(_is_written, self.paths(name).values())):
            return False
        now = source_state(source)
        if before[0] != now[0] and before[1:] != now[1:]:
            raise PspError(
                f"{self.out}: '{name}' in it is the result of {before[0]}, and would now be that "
                f"of {source}. {REMEDY}"
            )
        return before[1:] == now[1:]

    def paths(self, name: str) -> dict[str, Path]:
        """Return a picture's files by sub-folder."""
        return {kind: self.out / kind / f"{name}{suffix}" for kind, suffix in self.suffixes.items()}

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
            new = self.out.with_name(f"{self.out.name}{mark}.tmp")
            self._write_head(new, legend, mark)
            try:
                new.rename(self.out)
            except OSError:
                shutil.rmtree(new)
                if not self.out.is_dir():  # otherwise another share made it at the same time
                    raise
        if is_free(self.out):
            self._write_head(self.out, legend, mark)
        elif reason := self.conflict():
            if not overwrite:
                raise PspError(f"{self.out}: {reason}. {REMEDY}")
            self._write_head(self.out, legend, mark)
        elif not (self.out / LEGEND).exists():
            write(self.out / LEGEND, legend(), mark)
        self._file = self._open_records(self._own_records)

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

    def record(self, name: str, source: Path, result: Mapping[str, Any]) -> None:
        """Append a picture's record; `result` has its size, shares and seconds, or its error."""
        assert self._file is not None
        path, size, changed = source_state(source)
        line = {
            "name": name,
            "source": path,
            "bytes": size,
            "changed": changed,
            **result,
            "made_with": self.settings.fingerprint,
        }
        self._file.write(json_line(line).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file of records."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def merge(self, names: Collection[str]) -> None:
        """Rewrite predictions.jsonl from the records of all shares, once all `names` have one.

        It then has one line per picture, sorted by name: the last record, but no error if there is
        a result.
        """
        lines: dict[str, tuple[Path, int, int]] = {}
        successful = set()
        for record, line in self._records():
            success = "error" not in record
            if success or record["name"] not in successful:
                lines[record["name"]] = line
            if success:
                successful.add(record["name"])
        if not lines.keys() >= set(names):
            return
        with contextlib.ExitStack() as stack:
            files: dict[Path, IO[bytes]] = {}
            temporary = stack.enter_context(writing(self.out / RECORDS, f".{self.share}"))
            merged = stack.enter_context(temporary.open("wb"))
            for name in sorted(lines):
                path, offset, length = lines[name]
                if path not in files:
                    files[path] = stack.enter_context(path.open("rb"))
                files[path].seek(offset)
                merged.write(files[path].read(length))

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
                for line in file:
                    record = _parse_record(line)
                    if record and record["made_with"] == self.settings.fingerprint:
                        yield record, (path, offset, len(line))
                    offset += len(line)


def choose_folder(
    candidates: Iterable[Path],
    settings: Settings,
    share: Share,
    suffixes: Mapping[str, str],
    pictures: Mapping[str, Path],
    overwrite: bool,
) -> tuple[PredictionFolder, dict[str, Path]]:
    """Return the first candidate that the results may go into, and the unfinished pictures.

    With `overwrite` that is the first candidate, and all pictures. Raises the PspError of the last
    candidate if none will do.
    """
    for path in candidates:
        folder = PredictionFolder(path, settings, share, suffixes)
        if overwrite:
            return folder, dict(pictures)
        try:
            if conflict := folder.conflict():
                raise PspError(f"{path}: {conflict}. {REMEDY}")
            return folder, {n: p for n, p in pictures.items() if not folder.finished(n, p)}
        except PspError as error:
            last_error = error
    raise last_error


def source_state(source: Path) -> tuple[str, int, int]:
    """Return a file's absolute path, bytes, and time of change in ns; -1 if it is missing."""
    path = os.path.abspath(source)
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return path, -1, -1
    return path, status.st_size, status.st_mtime_ns


def _is_written(path: Path) -> bool:
    """Whether a file exists and is not empty, as a crash of the machine may leave it."""
    try:
        return path.stat().st_size > 0
    except OSError:  # it does not exist, or its name is too long
        return False


def _parse_record(line: bytes) -> dict[str, Any] | None:
    """Return a record, or None for an incomplete line."""
    try:
        record = json.loads(line)
        complete = all(
            isinstance(record[key], kind)
            for key, kind in {"name": str, "source": str, "bytes": int, "changed": int}.items()
        )
        return record if complete and "made_with" in record else None
    except (ValueError, KeyError, TypeError):
        return None

"""The folder that `psp predict` writes, and what in it is finished.

    settings.json         which weights and settings made this, with a fingerprint of both
    legend.png            class names and colors
    labels/NAME.png       palette PNG of the picture's size; its values are class ids
    overlays/NAME.jpg     to look at
    probabilities/NAME.npz   where asked for: `probabilities`, float16 (classes, H, W)
    predictions.jsonl     a line a picture: the share of each class, or the error
    predictions/K-of-N.jsonl   the same of one part, while several work

A record is written when the picture's files are whole, and names the fingerprint. So a picture is
finished if it has a record of the same weights and settings and of the same source, and its files
are there; however often, in however many parts and with whatever interruptions it was done.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from psp.errors import PspError
from psp.files import is_free, json_line, make_folder, write, write_json, writing
from psp.ranks import Share

SETTINGS, RECORDS, LEGEND = "settings.json", "predictions.jsonl", "legend.png"
FORMAT, VERSION = "psp-predictions", 1
ANOTHER = "Choose another -o, or write into it over the same names with --overwrite"


@dataclass(frozen=True)
class Settings:
    """What decides a label map beside the picture (`deciding`), and what else is good to know."""

    weights: str
    sha256: str  # of the weights
    procedure: Mapping[str, Any]
    precision: str
    dataset: str
    step: int
    classes: tuple[str, ...]

    @property
    def deciding(self) -> dict[str, Any]:
        """Everything on which a result depends, as plain JSON types."""
        chosen = dict(self.procedure)
        name = chosen.pop("name")
        found = {"weights": self.sha256, "procedure": name, **chosen, "precision": self.precision}
        return dict(json.loads(json.dumps(found)))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that stand for `deciding`."""
        deciding = self.deciding
        # psp 0.1.0 called it protocol. The word stays in here, so that its folders can be gone on
        # with.
        deciding["protocol"] = deciding.pop("procedure")
        text = json.dumps([VERSION, deciding], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return what settings.json holds."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "weights": self.weights,
            "dataset": self.dataset,
            "step": self.step,
            "classes": list(self.classes),
            "deciding": self.deciding,
        }


def is_predictions(folder: Path) -> bool:
    """Whether psp predict made this folder: what is in it is no input."""
    if _read_settings(folder) is not None:
        return True
    return all((folder / name).exists() for name in (LEGEND, "labels", "overlays"))


def _read_settings(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # there is none, or it is someone else's
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


class Predictions:
    """One part's view of a folder of predictions. The folder is made by `open`, not before."""

    def __init__(
        self, out: Path, settings: Settings, part: Share, suffixes: Mapping[str, str]
    ) -> None:
        """`suffixes` are the kinds of files that a finished picture has: folder to suffix."""
        self.out, self.settings, self.part, self.suffixes = out, settings, part, suffixes
        self._file: IO[bytes] | None = None
        self._known: dict[str, tuple[str, int, int]] = {}
        for record, _ in self._records():
            if "error" not in record:
                self._known[record["name"]] = (record["source"], record["bytes"], record["changed"])

    def fault(self) -> str | None:
        """Return why these results may not go into the folder as it is, or None."""
        if is_free(self.out):
            return None
        there = _read_settings(self.out)
        if not self.out.is_dir():
            return "exists already, and is no folder"
        if there is None:
            return "exists already, and holds other things"
        if there.get("fingerprint") == self.settings.fingerprint:
            return None
        theirs, ours = _renamed(there.get("deciding", {})), self.settings.deciding
        differing = [key for key in ours if theirs.get(key) != ours[key]]
        shown = ", ".join(
            key if key == "weights" else f"{key} {_show(theirs.get(key))}, now {_show(ours[key])}"
            for key in differing
        )
        return f"its label maps were made with other settings ({shown or 'of another psp'})"

    def finished(self, name: str, source: Path) -> bool:
        """Whether a picture's result is there, whole, and of this very source.

        Raises PspError when it is another source's: both cannot be called so.
        """
        known = self._known.get(name)
        if known is None or not all(map(_is_whole, self.paths(name).values())):
            return False
        before, now = known, fingerprint_of(source)
        if before[0] != now[0] and before[1:] != now[1:]:
            raise PspError(
                f"{self.out}: '{name}' in it is the result of {before[0]}, now it would be that of "
                f"{source}. {ANOTHER}"
            )
        return before[1:] == now[1:]

    def paths(self, name: str) -> dict[str, Path]:
        """Return a picture's files by kind."""
        return {kind: self.out / kind / f"{name}{suffix}" for kind, suffix in self.suffixes.items()}

    @property
    def opened(self) -> bool:
        """Whether the folder is there and this part writes into it."""
        return self._file is not None

    def open(self, legend: Callable[[], bytes], overwrite: bool) -> None:
        """Make the folder where it is not, with settings and legend in it, and begin to record.

        The folder appears as a whole, so that parts that begin together find all or nothing. Raises
        PspError when it cannot be made or must not be taken, or another process is at work on the
        same part of it.
        """
        mark = f".{self.part}"
        if not os.path.lexists(self.out):
            new = self.out.with_name(f"{self.out.name}{mark}.tmp")
            self._write_head(new, legend, mark)
            try:
                new.rename(self.out)
            except OSError:
                shutil.rmtree(new)
                if not self.out.is_dir():  # then another part was not just first
                    raise
        if is_free(self.out):
            self._write_head(self.out, legend, mark)
        elif reason := self.fault():
            if not overwrite:
                raise PspError(f"{self.out}: {reason}. {ANOTHER}")
            self._write_head(self.out, legend, mark)
        elif not (self.out / LEGEND).exists():
            write(self.out / LEGEND, legend(), mark)
        self._file = self._begin(self._own)

    def _begin(self, path: Path) -> IO[bytes]:
        """Open a file of records for this process alone, behind its last line."""
        make_folder(path.parent)
        file = path.open("ab+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PspError(
                f"{self.out}: another psp predict is at work here. Wait for it, or share the work: "
                "--part 1/2 and --part 2/2"
            ) from None
        except OSError:  # a file system without locks
            pass
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")  # an earlier call was killed while it wrote
        return file

    def _write_head(self, folder: Path, legend: Callable[[], bytes], mark: str) -> None:
        make_folder(folder)
        write_json(folder / SETTINGS, self.settings.to_dict(), mark)
        write(folder / LEGEND, legend(), mark)

    def record(self, name: str, source: Path, found: Mapping[str, Any]) -> None:
        """Add a line about a picture; `found` has its size, shares and seconds, or its error."""
        assert self._file is not None
        place, size, changed = fingerprint_of(source)
        line = {
            "name": name,
            "source": place,
            "bytes": size,
            "changed": changed,
            **found,
            "made_with": self.settings.fingerprint,
        }
        self._file.write(json_line(line).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """End recording."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def merge(self, names: Collection[str]) -> None:
        """Make predictions.jsonl anew, if all of `names` have a record now, of whichever part.

        It then has one line a picture, sorted by name: what was recorded last, but no error where
        there is a result.
        """
        places: dict[str, tuple[Path, int, int]] = {}
        done = set()
        for record, place in self._records():
            good = "error" not in record
            if good or record["name"] not in done:
                places[record["name"]] = place
            if good:
                done.add(record["name"])
        if not places.keys() >= set(names):
            return
        with contextlib.ExitStack() as stack:
            files: dict[Path, IO[bytes]] = {}
            temporary = stack.enter_context(writing(self.out / RECORDS, f".{self.part}"))
            merged = stack.enter_context(temporary.open("wb"))
            for name in sorted(places):
                path, offset, length = places[name]
                if path not in files:
                    files[path] = stack.enter_context(path.open("rb"))
                files[path].seek(offset)
                merged.write(files[path].read(length))

    @property
    def _own(self) -> Path:
        if self.part.total == 1:
            return self.out / RECORDS
        return self.out / "predictions" / f"{self.part}.jsonl"

    def _records(self) -> Iterator[tuple[dict[str, Any], tuple[Path, int, int]]]:
        """Yield every record made with these settings, and where it is: file, offset, length."""
        for path in (self.out / RECORDS, *sorted((self.out / "predictions").glob("*.jsonl"))):
            if not path.is_file():
                continue
            with path.open("rb") as file:
                offset = 0
                for line in file:
                    record = _parsed(line)
                    if record and record["made_with"] == self.settings.fingerprint:
                        yield record, (path, offset, len(line))
                    offset += len(line)


def choose(
    places: Iterable[Path],
    settings: Settings,
    part: Share,
    suffixes: Mapping[str, str],
    pictures: Mapping[str, Path],
    overwrite: bool,
) -> tuple[Predictions, dict[str, Path]]:
    """Return the first of `places` that the results may go into, and which pictures are left.

    With `overwrite` that is the first in any case, and all are left. Raises PspError for the last
    place when there is none.
    """
    for place in places:
        folder = Predictions(place, settings, part, suffixes)
        if overwrite:
            return folder, dict(pictures)
        try:
            if fault := folder.fault():
                raise PspError(f"{place}: {fault}. {ANOTHER}")
            return folder, {n: p for n, p in pictures.items() if not folder.finished(n, p)}
        except PspError as error:
            reason = error
    raise reason


def fingerprint_of(source: Path) -> tuple[str, int, int]:
    """Return a file's path, size and time of change; -1 where there is no such file."""
    place = os.path.abspath(source)
    try:
        found = Path(place).stat()
    except (OSError, ValueError):
        return place, -1, -1
    return place, found.st_size, found.st_mtime_ns


def _renamed(deciding: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a folder by today's names: psp 0.1.0 called the procedure protocol."""
    return {"procedure" if key == "protocol" else key: value for key, value in deciding.items()}


def _is_whole(path: Path) -> bool:
    """Whether a file is there; an empty one is what a crash of the machine may leave."""
    try:
        return path.stat().st_size > 0
    except OSError:  # there is none, or its name is too long
        return False


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return a record, or None for a line that was not written to its end."""
    try:
        record = json.loads(line)
        known = all(
            isinstance(record[key], kind)
            for key, kind in {"name": str, "source": str, "bytes": int, "changed": int}.items()
        )
        return record if known and "made_with" in record else None
    except (ValueError, KeyError, TypeError):
        return None


def _show(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)

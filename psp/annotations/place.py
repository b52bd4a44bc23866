"""The files of an export, listed once, and read with a bound on what they may hold."""

import codecs
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from psp.errors import PspError
from psp.files import read_bytes

MAX_FILES = 2_000_000
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as editors on Windows write them
MAX_TEXT = 1 << 31  # bytes of one annotation file; COCO's largest official file has 0.5 GB


class Place:
    """A folder with an export in it; `given` is the path that the user named: it, or a file in it.

    Hidden files, and what macOS puts beside files (`__MACOSX`), are not listed.
    """

    def __init__(self, given: Path) -> None:
        self.given = given
        self.root = given.parent if given.is_file() else given
        self._json: dict[str, Any] = {}

    @cached_property
    def files(self) -> tuple[str, ...]:
        """All files below the folder, as paths with "/", sorted; or only the file that was named.

        Links to folders are followed, each folder once. Raises PspError if there are too many.
        """
        if self.given.is_file():
            return (self.given.name,)
        found: list[str] = []
        seen: set[tuple[int, int]] = set()
        for parent, folders, names in os.walk(self.root, followlinks=True):
            status = os.stat(parent)  # noqa: PTH116 - as os.walk gives texts
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
            below = Path(parent).relative_to(self.root).as_posix()
            prefix = "" if below == "." else f"{below}/"
            found += [prefix + name for name in names if not name.startswith(".")]
            if len(found) > MAX_FILES:
                raise PspError(f"{self.root}: more than {MAX_FILES} files: give the export alone")
        return tuple(sorted(found))

    def named(self, *suffixes: str) -> tuple[str, ...]:
        """Return the files whose names end in one of these, upper or lower case alike."""
        return tuple(name for name in self.files if name.lower().endswith(suffixes))

    def path(self, name: str) -> Path:
        """Return the path of a listed file."""
        return self.root / name

    def size(self, name: str) -> int:
        """Return a file's size in bytes; 0 if it is gone."""
        try:
            return self.path(name).stat().st_size
        except OSError:
            return 0

    def head(self, name: str, size: int = 4096) -> str:
        """Return the beginning of a regular file as text, to recognize it; "" if it has none.

        What is not UTF-8 is replaced.
        """
        path = self.path(name)
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            data = file.read(size)
        return data.decode(_encoding(data), errors="replace")

    def text(self, name: str) -> str:
        """Return a file's text: UTF-8, or UTF-16 with its mark. Raises PspError that names it."""
        path = self.path(name)
        data = read_bytes(path) if self.size(name) <= MAX_TEXT else None
        if data is None:
            raise PspError(f"{path}: too large for an annotation file ({self.size(name)} bytes)")
        try:
            return data.decode(_encoding(data))
        except UnicodeDecodeError:
            raise PspError(f"{path}: is not UTF-8 text. Export it again") from None

    def json(self, name: str, *, keep: bool = True) -> Any:
        """Return what a JSON file holds. Raises PspError that names file and line.

        Raises it too for nesting without end. The file is read once; one of many, which is not
        needed again, is not to be kept. NaN, as Python writes it, is read.
        """
        if name in self._json:
            return self._json[name]
        path = self.path(name)
        try:
            value = json.loads(self.text(name))
        except json.JSONDecodeError as error:
            raise PspError(
                f"{path}: broken JSON in line {error.lineno}: {error.msg}. Export it again"
            ) from None
        except (RecursionError, ValueError) as error:
            raise PspError(f"{path}: no annotation file: {error}") from None
        if keep:
            self._json[name] = value
        return value

    def forget(self) -> None:
        """Let go of the JSON files that were kept: a large one takes ten times its size."""
        self._json.clear()


def _encoding(data: bytes) -> str:
    return "utf-16" if data.startswith(_MARKS) else "utf-8-sig"

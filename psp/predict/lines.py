"""Which line of the records counts for each picture, of millions: a few numbers each in memory."""

from array import array
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

Line = tuple[Path, int, int]  # file, position, length
_NUMBERS = 5  # of a picture: file, position, length, hash of its source file's state, writers
_FAILED = -1  # in place of the writers


class Lines:
    """The last record of each picture, or one of the same source file that more writers wrote for;
    but no error if there is a result."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._table = array("q")
        self._files: dict[Path, int] = {}
        self._writers: dict[frozenset[str], int] = {}
        self._sets: list[frozenset[str]] = []

    def add(self, record: Mapping[str, Any], line: Line, written: frozenset[str] | None) -> None:
        """Take note of the next record; `written` is None for an error."""
        content = hash((record["bytes"], record["changed"]))
        row = self._rows.get(record["name"])
        if row is not None and not self._counts(row, content, written):
            return
        path, position, length = line
        file = self._files.setdefault(path, len(self._files))
        numbers = array("q", (file, position, length, content, self._number(written)))
        if row is None:
            self._rows[record["name"]] = len(self._table) // _NUMBERS
            self._table.extend(numbers)
        else:
            self._table[row * _NUMBERS : (row + 1) * _NUMBERS] = numbers

    def _counts(self, row: int, content: int, written: frozenset[str] | None) -> bool:
        """Whether a record counts in place of the one of that row."""
        _, _, _, before, writers = self._table[row * _NUMBERS : (row + 1) * _NUMBERS]
        if writers == _FAILED or written is None:
            return writers == _FAILED
        return not (before == content and self._sets[writers] > written)

    def _number(self, written: frozenset[str] | None) -> int:
        if written is None:
            return _FAILED
        if written not in self._writers:
            self._writers[written] = len(self._sets)
            self._sets.append(written)
        return self._writers[written]

    def has(self, names: Collection[str]) -> bool:
        """Whether all these pictures have a record."""
        return all(name in self._rows for name in names)

    def __iter__(self) -> Iterator[Line]:
        """Yield the lines, in the order of the pictures' names."""
        files = list(self._files)
        for name in sorted(self._rows):
            start = self._rows[name] * _NUMBERS
            file, position, length = self._table[start : start + 3]
            yield files[file], position, length

"""List files as the tables that they are: pictures, perhaps a mask beside each, perhaps more.

Columns may be separated by commas, semicolons, tabs, vertical bars or blanks, with quotes, a header
row, comments that begin with #, and any of the usual line ends and encodings. What a line says is
used, or the list is refused with the line and the cell: no column is ignored without a word.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from psp.errors import PspError
from psp.files import read_bytes
from psp.lists.columns import Columns, find_columns
from psp.lists.rows import SPLITS, Row, read_rows, suffix
from psp.lists.text import decode

LARGEST = 1 << 28  # bytes of a list: five million lines
DEEPEST = 64  # folders within each other
LONGEST = 255  # bytes in a file's name, the limit of nearly every file system


@dataclass(frozen=True)
class Entry:
    """A line of a list: a picture, and the mask that the line names beside it, if it does.

    `name` and `mask` are paths with forward slashes and without file type; `cell` and `mask_cell`
    are as they stand in the list.
    """

    name: str
    mask: str | None
    line: int
    cell: str
    mask_cell: str | None = None


class MissingListError(PspError):
    """A list is not there; `path` is where it should be."""

    def __init__(self, path: Path) -> None:
        folder = path.parent
        others = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        near = difflib.get_close_matches(path.name, others, n=3, cutoff=0.5)
        there = f" The nearest there: {', '.join(near)}." if near else ""
        super().__init__(f"{path}: the list is missing.{there}")
        self.path = path


def nothing_known(name: str) -> bool:
    """Say of no name that it is there."""
    return False


def read_list(
    path: Path,
    *,
    split: str | None = None,
    exists: Callable[[str], bool] = nothing_known,
    remarks: list[str] | None = None,
) -> list[Entry]:
    """Return the entries of a list file, in its order.

    Blank lines and comments are no part of it. Of a table with a column of splits, the rows of
    `split` are returned. A line that `exists` as a name is that name, whatever signs are in it.
    `remarks` gets a line about columns that are not used. Raises PspError, which names the list and
    the line, if the list is missing or empty, has an entry twice, leaves the data set's folder with
    "..", or has cells that are not understood.
    """
    if not path.exists():
        raise MissingListError(path)
    entries = parse_list(
        read_bytes(path, LARGEST), str(path), split=split, exists=exists, remarks=remarks
    )
    lines: dict[str, int] = {}
    for entry in entries:
        _check(entry, str(path))
        if entry.name in lines:
            raise PspError(
                f"{path}: '{entry.name}' is listed twice (lines {lines[entry.name]} and "
                f"{entry.line}). Remove one."
            )
        lines[entry.name] = entry.line
    return entries


def parse_list(
    data: bytes,
    where: str,
    *,
    split: str | None = None,
    exists: Callable[[str], bool] = nothing_known,
    remarks: list[str] | None = None,
    pictures_only: bool = False,
) -> list[Entry]:
    """Return the entries of a list's bytes as `read_list`, unchecked: paths may lead anywhere.

    `pictures_only`: masks are not wanted, and what is no text is taken as bytes of file names.
    """
    rows, ruled = read_rows(decode(data, where, names=pictures_only), where, exists)
    if not rows:
        raise PspError(f"{where}: the list is empty.")
    columns, rows = find_columns(rows, where, exists)
    table = [row for row in rows if not row.whole]
    if ruled and not pictures_only:
        _check_masks(table, columns, where)
    _check_widths(table, columns, where, ruled)
    used = _rows_of_split(rows, columns, split, where)
    if remarks is not None and (text := _unused(columns, split, pictures_only)):
        remarks.append(f"{where}: {text}")
    return [_entry(row, columns) for row in used]


def _unused(columns: Columns, split: str | None, pictures_only: bool) -> str:
    """Return a remark on columns that nothing is taken from, or ""."""
    places = list(columns.unused)
    if columns.mask is not None and pictures_only:
        places.append(columns.mask)
    if columns.split is not None and split is None:
        places.append(columns.split)
    titles = ", ".join(map(columns.title, sorted(places)))
    kind = "columns" if len(places) > 1 else "column"
    return f"{kind} {titles} {'are' if len(places) > 1 else 'is'} not used" if places else ""


def _check_masks(table: Sequence[Row], columns: Columns, where: str) -> None:
    """Raise PspError for a row without a mask, if other rows have one."""
    at = columns.mask
    for row in table if at is not None else ():
        name = row.cells[columns.picture] if columns.picture < len(row.cells) else ""
        if at is not None and name and not any(row.cells[at : at + 1]):
            raise PspError(
                f"{where}: line {row.line} names no mask for '{name}', but other lines do (column "
                f"{columns.title(at)})."
            )


def _check_widths(table: Sequence[Row], columns: Columns, where: str, ruled: bool) -> None:
    """Raise PspError for a row without a picture, or of another number of cells than the others."""
    width = len(columns.titles) or (len(table[0].cells) if table else 0)
    for row in table:
        count = len(row.cells)
        if columns.picture >= count or not row.cells[columns.picture]:
            raise PspError(
                f"{where}: line {row.line} has no picture in column {columns.picture + 1}."
            )
        if ruled and (count > width or (count < width and not columns.titles)):
            extra = f": '{row.cells[width]}' is too much" if count > width else ""
            raise PspError(
                f"{where}: line {row.line} has {count} columns, but the first line has {width}"
                f"{extra}. A name that has the separator in it needs quotes"
            )


def _rows_of_split(
    rows: Sequence[Row], columns: Columns, split: str | None, where: str
) -> Sequence[Row]:
    """Return the rows of a split, if a column says which rows are. Raises PspError if none is."""
    at = columns.split
    if split is None or at is None:
        return rows
    wanted = {split.lower(), SPLITS.get(split.lower(), split.lower())}
    found: list[Row] = []
    others: dict[str, int] = {}
    for row in rows:
        value = row.cells[at].lower() if at < len(row.cells) else ""
        if value in wanted or SPLITS.get(value, value) in wanted:
            found.append(row)
        else:
            others.setdefault(value, row.line)
    if not found:
        shown = ", ".join(f"'{value}' (line {line})" for value, line in list(others.items())[:4])
        raise PspError(
            f"{where}: no line is of split '{split}': column {columns.title(at)} says {shown}. "
            "Rename the card's split, or leave that column out"
        )
    return found


def _entry(row: Row, columns: Columns) -> Entry:
    if row.whole:
        return Entry(_name(row.cells[0]), None, row.line, row.cells[0])
    cell, at = row.cells[columns.picture], columns.mask
    mask = row.cells[at] if at is not None and at < len(row.cells) else ""
    return Entry(_name(cell), _name(mask) if mask else None, row.line, cell, mask or None)


def _name(cell: str) -> str:
    """Return a cell's path with forward slashes and without file type."""
    path = PurePosixPath(cell.replace("\\", "/"))
    return str(path.with_suffix("") if suffix(cell) else path)


def _check(entry: Entry, where: str) -> None:
    """Raise PspError for a cell that is no path in a data set's folder."""
    for cell in (entry.cell, entry.mask_cell or ""):
        parts = PurePosixPath(cell.replace("\\", "/")).parts
        if len(parts) > DEEPEST:
            raise PspError(f"{where}: line {entry.line} is no path: it has {len(parts)} folders.")
        if max((len(part.encode()) for part in parts), default=0) > LONGEST:
            raise PspError(
                f"{where}: line {entry.line} is too long for a file name: {len(cell)} characters."
            )
        if ".." in parts:
            raise PspError(f"{where}: line {entry.line}, '{cell}', is outside of the data set.")

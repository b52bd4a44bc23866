"""The rows and cells of a list: separators, quotes, comments, line ends."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from psp.errors import PspError
from psp.images.reading import SUFFIXES

FILE_TYPES = SUFFIXES | {".mat"}
SPLITS = {  # what tables call the parts of a data set → the usual name
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_BLANKS = " "  # stands for: separated by blanks, where the words allow it
LONGEST_CELL = 20  # lines
_OPENING = re.compile(r'(?:^|[\t;,|])\s*"')
_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_WORDS = re.compile(r"\"(?:[^\"]|\"\")*\"(?!\S)|'[^']*'(?!\S)|\S+")


@dataclass(frozen=True)
class Row:
    """The cells of a line (from 1), without the empty ones at its end.

    `whole`: the line is one name, whatever signs are in it.
    """

    line: int
    cells: tuple[str, ...]
    whole: bool = False


def read_rows(text: str, where: str, exists: Callable[[str], bool]) -> tuple[list[Row], bool]:
    """Return the rows of a text, and whether a sign other than blanks separates their cells.

    Blank lines and comments are no rows. A line that `exists` as a name is one cell. Raises
    PspError, naming the line, for zero bytes and for a quotation mark without its end.
    """
    lines = _used_lines(text, where)
    known = [exists(_unquoted(line.strip())) for _, line in lines]
    others = [line for (_, line), whole in zip(lines, known, strict=True) if not whole]
    separator, first = _separator(others)
    rows = []
    for (number, line), whole in zip(lines, known, strict=True):
        if whole:
            rows.append(Row(number, (_unquoted(line.strip()),), whole=True))
        elif line is first:
            continue  # sep=;
        elif separator == _BLANKS:
            rows.append(Row(number, tuple(_words(line))))
        else:
            cells = _cells(line, separator)
            if cells is None:
                raise PspError(f"{where}: line {number} has a quotation mark without its end.")
            while len(cells) > 1 and not cells[-1]:
                cells.pop()
            rows.append(Row(number, tuple(cells)))
    return rows, separator != _BLANKS


def suffix(cell: str) -> str:
    """Return a cell's file type in small letters, with its dot; "" if it has none that is known."""
    found = PurePosixPath(cell.replace("\\", "/")).suffix.lower()
    return found if found in FILE_TYPES else ""


def is_number(cell: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _used_lines(text: str, where: str) -> list[tuple[int, str]]:
    """Return the lines that are neither blank nor a comment, with their numbers.

    A line whose quotation mark ends on a later line is one with that.
    """
    used: list[tuple[int, str]] = []
    is_open = 0  # how many lines a quotation mark is waiting for its end
    for number, line in enumerate(_LINE_ENDS.split(text), start=1):
        if "\0" in line:
            raise PspError(f"{where}: line {number} has zero bytes in it. Copy the list again.")
        if is_open:
            used[-1] = (used[-1][0], f"{used[-1][1]}\n{line}")
            is_open = 0 if line.count('"') % 2 or is_open == LONGEST_CELL else is_open + 1
        elif line.strip() and not _is_comment(line):
            used.append((number, line))
            is_open = int(line.count('"') % 2 and bool(_OPENING.search(line)))
    return used


def _is_comment(line: str) -> bool:
    """Whether a line is a comment, and not a file whose name begins with #."""
    text = line.strip()
    return text.startswith("#") and not suffix(text.split()[-1])


def _separator(lines: list[str]) -> tuple[str, str | None]:
    """Return what separates columns: what stands in every line, else blanks.

    A first line such as sep=; says it, for spreadsheets; that line is returned, too.
    """
    if lines and (said := re.fullmatch(r"\s*\"?sep=(.)\"?\s*", lines[0])):
        return said[1], lines[0]
    for sign in "\t;,|":
        if lines and all(sign in line for line in lines) and _divides(lines, sign):
            return sign, None
    return _BLANKS, None


def _divides(lines: list[str], sign: str) -> bool:
    """Whether a sign separates columns, and is not part of names such as "Smith, Ann.jpg"."""
    if sign != ",":
        return True
    for line in lines:
        cells = _cells(line, sign)
        if cells is None or '"' in line or not re.search(r"\S, ", line):
            return True
        if any(suffix(c) or is_number(c) or c.lower() in SPLITS for c in cells[:-1]):
            return True
        if not suffix(cells[-1]):
            return True
    return False


def _cells(line: str, separator: str) -> list[str] | None:
    """Return the cells of a line; None where a cell's quotation mark has no end."""
    cells, at, end = [], 0, len(line)
    while True:
        while at < end and line[at] in " \t" and line[at] != separator:
            at += 1
        if at < end and line[at] == '"':
            match = re.compile(r'"((?:[^"]|"")*)"[ \t]*').match(line, at)
            if match is None:
                return None
            stop = match.end()
            if stop == end or line[stop] == separator:
                cells.append(match[1].replace('""', '"').strip())
            else:  # more behind the quotes: they belong to the name
                stop = _next(line, separator, at)
                cells.append(line[at:stop].strip())
        else:
            stop = _next(line, separator, at)
            cells.append(_unquoted(line[at:stop].strip()))
        if stop >= end:
            return cells
        at = stop + 1


def _next(line: str, separator: str, at: int) -> int:
    found = line.find(separator, at)
    return len(line) if found < 0 else found


def _words(line: str) -> list[str]:
    """Return columns that blanks separate: names up to their file type, and what is behind them.

    A line without file types is a name and numbers, or one name with blanks in it.
    """
    words = [_unquoted(word) for word in _WORDS.findall(line)]
    typed = [at for at, word in enumerate(words) if suffix(word)]
    if not typed:
        extra = all(is_number(word) or word.lower() in SPLITS for word in words[1:])
        return words if extra else [_unquoted(line.strip())]
    lead = 0  # numbers before the first name: an index
    while lead < typed[0] and is_number(words[lead]) and len(typed) > 1:
        lead += 1
    cells, start = words[:lead], lead
    for at in typed:
        cells.append(" ".join(words[start : at + 1]))
        start = at + 1
    return cells + words[start:]


def _unquoted(cell: str) -> str:
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"').strip()
    if len(cell) > 2 and cell[0] == cell[-1] == "'":
        return cell[1:-1].strip()
    return cell

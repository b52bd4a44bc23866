"""Read list files as the tables that they are: names, perhaps a mask beside each, perhaps more.

Columns may be separated by commas, semicolons, tabs or blanks, with quotes, a header row, comments
that begin with #, and any of the usual line ends and encodings. What a line says is used, or the
list is refused with the line and the word: a second column is never ignored without a reason.
"""

import codecs
import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from psp.errors import PspError
from psp.images.reading import SUFFIXES

LONGEST = 255  # bytes in a file's name, the limit of nearly every file system
_MARKS = (  # at the beginning of a file; the longer ones first
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LABEL_SUFFIXES = SUFFIXES | {".mat"}
# Words of header rows: for the picture's column, the clearest first, and for the mask's.
_PICTURES = (
    {"image", "images", "picture", "photo", "file", "filename", "file_name", "path", "img", "rgb"},
    {"image_path", "image_id", "name", "id"},
)
_MASKS = {"mask", "masks", "label", "labels", "annotation", "segmentation", "gt", "target"}
_MASKS |= {"mask_path", "label_path"}


@dataclass(frozen=True)
class Entry:
    """A line of a list: a picture, and the mask that the line names beside it, if it does.

    Paths have forward slashes and no file type.
    """

    name: str
    mask: str | None
    line: int


def read_list(path: Path) -> list[Entry]:
    """Return the entries of a list, in its order.

    Blank lines, comments and numbers behind a name (classes, as VOC's lists have them) are no part
    of it. Raises PspError, which names the list and the line, if the list is missing or empty, has
    an entry twice, leaves the data set's folder with "..", or has words that are not understood.
    """
    entries: dict[str, Entry] = {}
    columns: tuple[int, int | None] | None = None  # of pictures and masks, from a header row
    for number, cells in _rows(path):
        if columns is None:
            columns = _header(cells)
            if columns is not None and not entries:
                continue
            columns = (0, None)
        entry = _entry(path, number, cells, columns)
        if entry.name in entries:
            raise PspError(
                f"{path}: '{entry.name}' is listed twice (lines {entries[entry.name].line} and "
                f"{number}). Remove one."
            )
        entries[entry.name] = entry
    if not entries:
        raise PspError(f"{path}: the list is empty.")
    return list(entries.values())


def read_ids(path: Path, exists: Callable[[str], bool] = lambda name: False) -> list[str]:
    """Return the ids of a list: the last component of each line's path, without file type.

    Where a longer part of a path `exists`, that is the id: pictures in folders of their own.
    Raises PspError as `read_list` does, and for an id with spaces or a leading dot, one that is
    listed twice, and a mask of another id.
    """
    ids: dict[str, int] = {}
    for entry in read_list(path):
        parts = PurePosixPath(entry.name).parts
        tails = ["/".join(parts[start:]) for start in range(len(parts))]
        name = next((tail for tail in tails if exists(tail)), parts[-1])
        known = exists(name)
        if not known and (name.startswith(".") or len(name.split()) != 1):
            raise PspError(
                f"{path}: line {entry.line}, '{name}', is not an id such as 2007_000032: in this "
                "layout ids have no spaces. For other names, use a card with layout = 'folders'"
            )
        if entry.mask is not None and PurePosixPath(entry.mask).name != PurePosixPath(name).name:
            raise PspError(
                f"{path}: line {entry.line} names the mask '{entry.mask}' for '{name}', but in "
                "this layout both have one name. Use a card with layout = 'folders'"
            )
        if name in ids:
            raise PspError(f"{path}: '{name}' is listed twice. Remove one.")
        ids[name] = entry.line
    return list(ids)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the cells of each line that is neither blank nor a comment, with the line's number."""
    lines = _text(path).splitlines()
    used = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    used = [(number, line) for number, line in used if not _is_comment(line)]
    separator = _separator([line for _, line in used])
    rows = []
    for number, line in used:
        if "\0" in line:
            raise PspError(f"{path}: line {number} has zero bytes in it. Copy the list again.")
        if separator == " ":
            cells = _words(line)
        else:
            cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
        rows.append((number, cells))
    return rows


def _text(path: Path) -> str:
    if os.path.exists(path) and not path.is_file():  # noqa: PTH110 - false for circular links
        raise PspError(f"{path}: the list is not a file.")  # reading a FIFO would block
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PspError(f"{path}: the list is missing. Unpack the download again.") from None
    except OSError as error:
        raise PspError(f"{path}: the list cannot be read: {error.strerror}") from None
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PspError(
            f"{path}: line {line} is not {encoding.upper()}. Save the list as UTF-8."
        ) from None


def _is_comment(line: str) -> bool:
    """Whether a line is a comment, and not a file whose name begins with #."""
    text = line.strip()
    return text.startswith("#") and PurePosixPath(text.split()[-1]).suffix.lower() not in SUFFIXES


def _separator(lines: list[str]) -> str:
    """Return what separates columns: what stands in every line, else blanks."""
    return next((sign for sign in "\t;," if lines and all(sign in line for line in lines)), " ")


def _words(line: str) -> list[str]:
    """Return columns of words: pictures side by side, or a name and numbers; else one cell."""
    plain = line.replace("\\", "/").strip()
    if len(plain) > 1 and plain[0] == plain[-1] == '"':
        return [plain[1:-1]]
    words = plain.split()
    suffixes = [PurePosixPath(word).suffix.lower() for word in words]
    if all(suffix in _LABEL_SUFFIXES for suffix in suffixes) or all(map(_is_number, words[1:])):
        return words
    return [plain]  # one name that may have spaces in it


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _header(cells: list[str]) -> tuple[int, int | None] | None:
    """Return the columns of pictures and masks that a header row names; None for other rows."""
    titles = [cell.strip().lower() for cell in cells]
    if len(titles) < 2 or not _MASKS.union(*_PICTURES) & {titles[0]}:
        return None
    columns = [at for words in _PICTURES for at, title in enumerate(titles) if title in words]
    mask = next((at for at, title in enumerate(titles) if title in _MASKS), None)
    return (columns[0], mask) if columns else None


def _entry(path: Path, number: int, cells: list[str], columns: tuple[int, int | None]) -> Entry:
    at, mask_at = columns
    if at >= len(cells) or not cells[at]:
        raise PspError(f"{path}: line {number} has no picture in column {at + 1}.")
    others = [index for index, cell in enumerate(cells) if index != at and cell]
    if mask_at is None:
        masks = [index for index in others if _suffix(cells[index]) in _LABEL_SUFFIXES]
        mask_at = masks[0] if masks else None
        rest = [cells[i] for i in others if i != mask_at and not _is_number(cells[i])]
        if rest:
            raise PspError(
                f"{path}: line {number} has more than a picture and its mask: '{rest[0]}'. Leave "
                "that column out, or name the columns in a first line: image,mask"
            )
    mask = None
    if mask_at is not None and mask_at < len(cells) and cells[mask_at]:
        mask = _checked(path, number, cells[mask_at])
    return Entry(_checked(path, number, cells[at]), mask, number)


def _suffix(cell: str) -> str:
    return PurePosixPath(cell.replace("\\", "/")).suffix.lower()


def _checked(path: Path, number: int, cell: str) -> str:
    """Return a cell's path without file type. Raises PspError for what is no path in the set."""
    name = PurePosixPath(cell.replace("\\", "/"))
    if max(len(part.encode()) for part in name.parts or ("",)) > LONGEST:
        raise PspError(
            f"{path}: line {number} is too long for a file name: {len(cell)} characters."
        )
    if ".." in name.parts:
        raise PspError(f"{path}: line {number}, '{cell}', is outside of the data set.")
    return str(name.with_suffix("") if name.suffix.lower() in _LABEL_SUFFIXES else name)

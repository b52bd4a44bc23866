"""Read list files, with CRLF, backslashes, blank lines, path prefixes or two columns."""

import os
from pathlib import Path, PurePosixPath

from psp.errors import PspError
from psp.images.reading import SUFFIXES

LONGEST = 255  # bytes in a file's name, the limit of nearly every file system


def read_list(path: Path) -> list[str]:
    """Return the entries of a list, line by line: paths with forward slashes, without file type.

    If a line has a picture and its label ("/JPEGImages/a.jpg /Labels/a.png"), the first is used.
    Blank lines and spaces at the ends are ignored. Raises PspError if the list is missing or empty,
    has an entry twice, or an entry leaves the data set's folder with "..".
    """
    if os.path.exists(path) and not path.is_file():  # noqa: PTH110 - false for circular links
        raise PspError(f"{path}: the list is not a file.")  # reading a FIFO would block
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise PspError(f"{path}: the list is missing. Unpack the download again.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PspError(f"{path}: the list cannot be read: {reason}") from None
    entries: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if not entry:
            continue
        if "\0" in entry:
            raise PspError(f"{path}: line {number} has zero bytes in it. Copy the list again.")
        if max(len(part.encode()) for part in PurePosixPath(entry).parts or [""]) > LONGEST:
            raise PspError(
                f"{path}: line {number} is too long for a file name: {len(entry)} characters."
            )
        if ".." in PurePosixPath(entry).parts:
            raise PspError(f"{path}: line {number}, '{entry}', is outside of the data set.")
        if entry in entries:
            raise PspError(
                f"{path}: '{entry}' is listed twice (lines {entries[entry]} and {number}). "
                "Remove one."
            )
        entries[entry] = number
    if not entries:
        raise PspError(f"{path}: the list is empty.")
    return list(entries)


def read_ids(path: Path) -> list[str]:
    """Return the ids of a list: the last component of each line's path, without file type.

    Raises PspError as `read_list` does, and for an id with spaces or a leading dot, or that is
    listed twice.
    """
    ids = [PurePosixPath(entry).name for entry in read_list(path)]
    for name in ids:
        if name.startswith(".") or len(name.split()) != 1:
            raise PspError(
                f"{path}: '{name}' is not an id. Each line must have one, such as 2007_000032."
            )
    if len(set(ids)) < len(ids):
        repeated = next(name for name in ids if ids.count(name) > 1)
        raise PspError(f"{path}: '{repeated}' is listed twice. Remove one.")
    return ids


def _entry(line: str) -> str:
    words = line.replace("\\", "/").split()
    pictures = [PurePosixPath(word).suffix.lower() in SUFFIXES for word in words]
    # Columns of picture files, or one name that may have spaces in it.
    name = words[0] if len(words) > 1 and all(pictures) else line.replace("\\", "/").strip()
    path = PurePosixPath(name)
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path) if name else ""

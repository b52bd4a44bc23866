"""List files as they are found in the wild: CRLF, backslashes, blank lines, prefixes, columns."""

import os
from pathlib import Path, PurePosixPath

from psp.errors import PspError
from psp.images import SUFFIXES

LONGEST = 255  # bytes; no file system has longer names


def read_list(path: Path) -> list[str]:
    """Return what a list names, line by line: paths with forward slashes, without file type.

    A line may name a picture and its label ("/JPEGImages/a.jpg /Labels/a.png"): the first counts.
    Blank lines and spaces at the ends are nothing. Raises PspError when the list is missing, empty,
    names something twice, or leads out of the data set with "..".
    """
    if os.path.exists(path) and not path.is_file():  # noqa: PTH110 - false for a circle of links
        raise PspError(f"{path}: the list is no file.")  # reading a FIFO would wait for ever
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise PspError(f"{path}: the list is missing. Is the download complete?") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PspError(f"{path}: the list cannot be read: {reason}") from None
    entries: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if not entry:
            continue
        if "\0" in entry:
            raise PspError(f"{path}: line {number} holds zero bytes. Copy the list again.")
        if max(len(part.encode()) for part in PurePosixPath(entry).parts or [""]) > LONGEST:
            raise PspError(f"{path}: line {number} is no file's name: {len(entry)} characters.")
        if ".." in PurePosixPath(entry).parts:
            raise PspError(f"{path}: line {number}, '{entry}', leads out of the data set.")
        if entry in entries:
            raise PspError(f"{path}: '{entry}' stands twice (lines {entries[entry]} and {number}).")
        entries[entry] = number
    if not entries:
        raise PspError(f"{path}: the list is empty.")
    return list(entries)


def read_ids(path: Path) -> list[str]:
    """Return the ids of a list: the last part of each line's path, without file type.

    Raises PspError as `read_list` does, and for what is no id: blanks in it, a leading dot, an id
    that stands twice.
    """
    ids = [PurePosixPath(entry).name for entry in read_list(path)]
    for name in ids:
        if name.startswith(".") or len(name.split()) != 1:
            raise PspError(f"{path}: '{name}' is no id: one such as 2007_000032 on each line.")
    if len(set(ids)) < len(ids):
        double = next(name for name in ids if ids.count(name) > 1)
        raise PspError(f"{path}: '{double}' stands twice.")
    return ids


def _entry(line: str) -> str:
    words = line.replace("\\", "/").split()
    pictures = [PurePosixPath(word).suffix.lower() in SUFFIXES for word in words]
    # Two columns of pictures, or one name that may have blanks in it.
    name = words[0] if len(words) > 1 and all(pictures) else line.replace("\\", "/").strip()
    path = PurePosixPath(name)
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path) if name else ""

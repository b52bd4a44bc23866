"""Output files that appear whole or not at all."""

import contextlib
import errno
import hashlib
import io
import itertools
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psp.errors import PspError

_SORTED: Any = {"sort_keys": True, "ensure_ascii": False}  # the same value gives the same bytes
LONGEST_NAME = 255  # bytes of a file's name, on nearly every file system
# Of one file's name, not of the disk: the others can be written all the same.
_NAMES_FAULT = frozenset(
    {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EILSEQ, errno.EINVAL}
)


# How messages begin that servers send instead of a file, in small letters.
_REFUSALS = (
    b"quota exceeded",
    b"access denied",
    b"accessdenied",
    b"forbidden",
    b"unauthorized",
    b"not found",
    b"404",
    b"403",
    b"too many requests",
    b"invalid username or password",
    b"entry not found",
    b"repository not found",
    b'{"error',
    b'{"message',
    b"error:",
)


class NameFaultError(PspError):
    """A file cannot have this name here; that says nothing of others."""


@contextlib.contextmanager
def atomic_write(path: Path, mark: str = "") -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    If the block raises, the temporary file is removed and whatever stood at `path` stays. Processes
    that may write the same file at a time need a `mark` each. Raises PspError when the file cannot
    be written: a full disk, no permission, no such folder.
    """
    temporary = path.with_name(f"{path.name}{mark}.tmp")
    if len(os.fsencode(temporary.name)) > LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(temporary.name)).hexdigest()
        temporary = path.with_name(f"{name}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise PspError(f"{path}: cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):  # there is none if it could not be made
            temporary.unlink()


def write(path: Path, data: bytes, mark: str = "") -> None:
    """Write a file, whole. Raises NameFaultError for a fault of its name, PspError for others."""
    with writing(path, mark) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def writing(path: Path, mark: str = "") -> Iterator[Path]:
    """Yield a temporary path as `atomic_write`, with the errors of `write`; folders are made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, mark) as temporary:
            yield temporary
    except OSError as error:
        raise _fault(path, error) from error
    except PspError as error:
        if isinstance(error.__cause__, OSError):
            raise _fault(path, error.__cause__) from error
        raise


def _fault(path: Path, error: OSError) -> PspError:
    kind = NameFaultError if error.errno in _NAMES_FAULT else PspError
    return kind(f"{path}: cannot be written: {error.strerror or error}.")


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Return what a user's file holds. Raises PspError when it cannot be read, or is no file.

    A device or a pipe would never end, and a file that grows is read up to the size that it had.
    One of more than `most` bytes is refused before it is read.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if most is not None and size > most:
                raise PspError(f"{path}: {size:,} bytes are too many for what this file should be.")
            return file.read(size)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise PspError(f"{path}: cannot be read: {reason}.") from None
    except MemoryError:
        raise PspError(f"{path}: {size:,} bytes are too many for the memory.") from None


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file. Raises PspError for all else, which would block or never end, and as
    `open` does.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise PspError(f"{path}: not a regular file (a folder, device or pipe).")
    return io.BufferedReader(io.FileIO(handle))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex. Raises as `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def placeholder(start: bytes) -> str | None:
    """Return what a file is that stands where the real one should be, by its first bytes; or None.

    A clone without Git LFS has pointers instead of large files; a download that needs a login or
    has moved is a web page, and one that was refused is the server's message.
    """
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself. Fetch it with: git lfs pull"
    if text.startswith((b"/annex/objects", b"../.git/annex", b".git/annex")):
        return "a git-annex pointer, not the file itself. Fetch it with: git annex get"
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page, not the file itself. Download it again, perhaps with a login"
    if text.startswith((*_REFUSALS, b"<error")) or (
        text.startswith(b"<?xml") and b"<error" in text
    ):
        line = start.strip().splitlines()[0][:60].decode("utf-8", "replace")
        return f"a server's message ('{line}'), not the file itself. Download it again, or later"
    return None


def is_free(folder: Path) -> bool:
    """Whether nothing is there, or a folder without anything in it."""
    return not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises PspError when that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise PspError(f"{path}: this folder cannot be made: {reason}. Choose another -o") from None


def write_json(path: Path, value: Any, mark: str = "", *, tables: bool = False) -> None:
    """Write `value` as indented JSON with sorted keys (the same value gives the same bytes).

    With `tables`, each row of a table stands on one line: lists, and the objects in a list, that
    hold only plain values.
    """
    text = _with_tables(value) if tables else json.dumps(value, indent=2, **_SORTED)
    with atomic_write(path, mark) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _with_tables(value: Any, indent: str = "", row: bool = False) -> str:
    """Return `value` as JSON; `row` says that it stands in a list."""
    items = list(value.values()) if isinstance(value, dict) else value
    plain = not isinstance(value, (dict, list)) or not any(
        isinstance(i, (dict, list)) for i in items
    )
    if plain and (row or not isinstance(value, dict)):
        return json.dumps(value, **_SORTED)
    inner = indent + "  "
    if isinstance(value, dict):
        lines = [
            f"{json.dumps(key, **_SORTED)}: {_with_tables(value[key], inner)}"
            for key in sorted(value)
        ]
        begin, end = "{", "}"
    else:
        lines = [_with_tables(item, inner, row=True) for item in value]
        begin, end = "[", "]"
    return f"{begin}\n{inner}" + f",\n{inner}".join(lines) + f"\n{indent}{end}"


def json_line(value: Any) -> str:
    """Return `value` as JSON on one line; in plain ASCII if a name in it is no UTF-8."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def sync(path: Path) -> None:
    """Force a file's data, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def numbered_names(path: Path) -> Iterator[Path]:
    """Yield `path`, `path-2`, `path-3`, … without end."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.name}-{number}")


def free_name(path: Path) -> Path:
    """Return the first of `path`, `path-2`, `path-3`, … that does not exist yet."""
    return next(candidate for candidate in numbered_names(path) if not candidate.exists())

"""Output files that appear whole or not at all."""

import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psp.errors import PspError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    If the block raises, the temporary file is removed and whatever stood at `path` stays.
    Raises PspError when the file cannot be written: a full disk, no permission, no such folder.
    """
    temporary = path.with_name(path.name + ".tmp")
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


def read_bytes(path: Path) -> bytes:
    """Return what a user's file holds. Raises PspError when it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise PspError(f"{path}: cannot be read: {reason}.") from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises PspError when that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise PspError(f"{path}: this folder cannot be made: {reason}. Choose another -o") from None


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys (the same value gives the same bytes)."""
    with whole_file(path) as temporary:
        temporary.write_text(
            json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def sync(path: Path) -> None:
    """Force a file's data, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def numbered(path: Path) -> Iterator[Path]:
    """Yield `path`, `path-2`, `path-3`, … without end."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.name}-{number}")


def free_name(path: Path) -> Path:
    """Return the first of `path`, `path-2`, `path-3`, … that does not exist yet."""
    return next(candidate for candidate in numbered(path) if not candidate.exists())

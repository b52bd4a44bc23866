"""A new folder of results: OUT.K-of-N.PID.tmp, which then appears as OUT in a rename."""

import contextlib
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path


def make_whole(out: Path, mark: str, fill: Callable[[Path], None]) -> None:
    """Let `fill` write a new folder, and give it the name `out`, unless another call was faster.

    Raises what `fill` raises, and OSError where the folder cannot be renamed.
    """
    new = out.with_name(f"{out.name}{mark}.{os.getpid()}.tmp")
    try:
        fill(new)
        new.rename(out)
    except OSError:
        if not out.is_dir():
            raise
    finally:
        _remove(new)


def remove_left(out: Path, mark: str, contents: Collection[str]) -> None:
    """Remove the new folders of calls that were killed before the rename.

    Only those with nothing in them but `contents`, and temporary files of these.
    """
    pattern = re.compile(rf"{re.escape(out.name + mark)}\.(\d+)\.tmp")
    ours = {*contents, *(f"{name}{mark}.tmp" for name in contents)}
    for path in list(out.parent.iterdir()):
        match = pattern.fullmatch(path.name)
        if not match or path.is_symlink() or not path.is_dir() or _is_running(int(match[1])):
            continue
        if {entry.name for entry in path.iterdir()} <= ours:
            _remove(path)


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it is not there, or has its name now
        for path in list(folder.iterdir()):
            path.unlink()
        folder.rmdir()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True

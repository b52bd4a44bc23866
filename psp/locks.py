"""Locks on what a command writes: two commands at once never write the same files.

They are the system's own (flock), so that a lock ends with the process that holds it, however that
ends. Where a file system knows none, nobody is kept out, and a remark says so.

Not the package filelock: a lock file that is removed at the end needs a look, after locking,
whether the locked file is still the one of that name (else two may hold "it"), and a forked worker
must not keep the lock of a parent that was killed. Its locks hide the handle that both need.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from psp.errors import PspError
from psp.events import Notice, Report, ignore
from psp.files import make_folder

_NO_LOCKS = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF, errno.EIO}
)
_held: set[int] = set()  # of this process; not of those that it forks


def _drop_in_child() -> None:
    """Close what a forked process inherits: it must not keep a lock when its parent is killed."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_drop_in_child)


class InUseError(PspError):
    """Another process holds the lock."""


@contextlib.contextmanager
def file_lock(
    path: Path, guarded: Path, report: Report = ignore, *, shared: bool = False
) -> Iterator[None]:
    """Hold the lock file `path` of the folder `guarded` for the block, and remove it afterwards.

    Several processes may hold it at a time if all of them ask for it `shared`. Raises InUseError
    while another process holds it otherwise. Where the file system knows no locks, `report` gets a
    remark.
    """
    handle = _acquire(path, guarded, report, shared)
    try:
        yield
    finally:
        if not shared or _is_alone(handle):
            # Before it is released: who waits for it sees that it is gone.
            path.unlink(missing_ok=True)
        if handle in _held:
            _held.discard(handle)
            os.close(handle)


def _is_alone(handle: int) -> bool:
    """Whether nobody else holds a shared lock; then it is shared no longer."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _acquire(path: Path, guarded: Path, report: Report, shared: bool) -> int:
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise PspError(f"{path}: cannot be written: {error.strerror or error}.") from None
        _held.add(handle)
        if not _is_lock(handle):
            _release(handle)
            raise PspError(f"{path}: not a lock file of psp. Move it away")
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace")
            _release(handle)
            raise InUseError(
                f"{guarded}: process {holder or 'unknown'} is using it. Wait for it, or stop it"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                _release(handle)
                raise PspError(f"{path}: cannot be locked: {error.strerror}.") from None
            report(Notice(_without_locks(guarded)))
            return handle
        if _is_file(handle, path):
            os.truncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            return handle
        _release(handle)  # its holder has just removed it: it protects nothing


def _is_lock(handle: int) -> bool:
    """Whether an open file may be a lock: empty, or with the number of a process."""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        return False
    content = os.pread(handle, 32, 0)
    return not content or content.isdigit()


def _release(handle: int) -> None:
    _held.discard(handle)
    os.close(handle)


def _without_locks(guarded: Path) -> str:
    return (
        f"{guarded}: this file system knows no locks, so another psp is not kept from writing "
        "there at the same time"
    )


def _is_file(handle: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


@contextlib.contextmanager
def only_writer(out: Path, report: Report = ignore, *, share: str = "") -> Iterator[None]:
    """Keep other processes from writing the folder `out` during the block, and from making it.

    Those that name a `share` may write it together, each share once. The lock is beside the folder,
    which is made for it, and removed again if nothing was put there. Raises InUseError if another
    process writes `out`.
    """
    made = not out.parent.exists()
    make_folder(out.parent)
    try:
        with contextlib.ExitStack() as locks:
            whole = out.with_name(f".{out.name}.lock")
            locks.enter_context(file_lock(whole, out, report, shared=bool(share)))
            if share:
                own = out.with_name(f".{out.name}.{share}.lock")
                locks.enter_context(file_lock(own, out))
            yield
    finally:
        if made:
            with contextlib.suppress(OSError):  # it is not empty
                out.parent.rmdir()


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this block for a folder: to write a small file in it.

    Nothing is written for it. A file system without locks lets all in.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    _held.add(handle)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        _release(handle)

"""Faults that a victim brings upon itself at its Nth change of the file system.

A process in which `install` was called counts every call that changes what is in a folder, over
itself and all processes that it starts: opening a file to write, and rename, replace, unlink,
rmdir, mkdir, link, symlink, truncate and fsync. Calls for files elsewhere do not count. At the Nth
something happens: it dies, gets a signal, the disk is full from there on, the clock jumps, or
another program removes or changes a file.
"""

import errno
import io
import os
import signal
import time
from pathlib import Path

PNG = b"\x89PNG\r\n"
RECORD = 160  # bytes of a call in the log: their number is the log's size divided by this
ONE_PATH = ("unlink", "remove", "rmdir", "mkdir", "truncate")
TWO_PATHS = ("rename", "replace", "link", "symlink")
HANDLES = ("fsync", "ftruncate")


class Injection:
    """Counts the calls under `root` in `log`; at call `at`, `act` happens `before` or after it."""

    def __init__(self, root, log, at=0, act="kill", before=True):
        self.root, self.log, self.at, self.act, self.before = root, log, at, act, before
        self.handles = {}
        self.write, self.open, self.lseek = os.write, os.open, os.lseek

    def counted(self, kind, path, call, *args, **options):
        """Do a call that is counted if its path is under `root`."""
        number = self.number(kind, path) if self.below(path) else 0
        if self.act.startswith("error:") and 0 < self.at <= number:
            self.fail(kind)
        hit = number == self.at and number > 0
        if hit and self.before:
            self.happen()
        result = call(*args, **options)
        if hit and not self.before:
            self.happen()
        return result

    def below(self, path):
        """Whether a path is in the folder; a relative one is, as victims work there."""
        return isinstance(path, str) and (not path.startswith("/") or path.startswith(self.root))

    def number(self, kind, path):
        """Write a call into the log that all processes share; return its place there."""
        own = os.getpid()
        if own not in self.handles:
            self.handles[own] = self.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        line = f"{kind} {os.path.relpath(path, self.root)}"[: RECORD - 1].ljust(RECORD - 1)
        self.write(self.handles[own], line.encode("ascii", "replace") + b"\n")
        return self.lseek(self.handles[own], 0, os.SEEK_CUR) // RECORD

    def happen(self):
        """Let the fault happen."""
        kind, _, detail = self.act.partition(":")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # it arrives before this ends
        elif kind == "signal":
            for name in detail.split("+"):
                os.kill(os.getpid(), getattr(signal, name))
        elif kind == "clock":
            change_clock(float(detail))
        elif kind == "remove":
            Path(detail).rename(f"{detail}.away")  # where a test finds it again
        elif kind == "flip":
            flip(Path(detail))
        elif kind == "cut":
            path = Path(detail)
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 2)

    def fail(self, kind):
        """Fail as on a full disk, where only removing works, or on one that is read-only."""
        name = self.act.partition(":")[2]
        if name != "ENOSPC" or kind in ("open", "mkdir", "fsync", "link", "symlink"):
            number = getattr(errno, name)
            raise OSError(number, os.strerror(number), self.root)


def flip(path):
    """Change a byte of every PNG in a file."""
    data = bytearray(path.read_bytes())
    place = data.find(PNG)
    while place >= 0:
        data[place + 50] ^= 1
        place = data.find(PNG, place + 1)
    with path.open("r+b") as file:
        file.write(data)


def install(**options):
    """Count the calls of this process, and let the fault happen."""
    injection = Injection(**options)

    def path_of(value, handle=None):
        if isinstance(value, int):  # an open file
            return str(Path(f"/proc/self/fd/{value}").readlink())
        text = os.fsdecode(value)
        if handle is not None and not text.startswith("/"):
            text = str(Path(f"/proc/self/fd/{handle}").readlink() / text)
        return text

    def patch(kind, place):
        call = getattr(os, kind)

        def patched(*args, **options):
            handle = options.get("dir_fd", options.get("dst_dir_fd"))
            return injection.counted(kind, path_of(args[place], handle), call, *args, **options)

        setattr(os, kind, patched)

    for kind in (*ONE_PATH, *HANDLES):
        patch(kind, 0)
    for kind in TWO_PATHS:
        patch(kind, 1)
    plain, plain_os = io.open, os.open

    def open_file(file, mode="r", *args, **options):
        if isinstance(file, int) or not set(mode) & set("wax+"):
            return plain(file, mode, *args, **options)
        return injection.counted("open", path_of(file), plain, file, mode, *args, **options)

    def open_handle(path, flags, *args, **options):
        if not flags & (os.O_CREAT | os.O_TRUNC):
            return plain_os(path, flags, *args, **options)
        where = path_of(path, options.get("dir_fd"))
        return injection.counted("open", where, plain_os, path, flags, *args, **options)

    import builtins

    io.open = builtins.open = open_file
    os.open = open_handle


def change_clock(seconds):
    """Let the wall clock jump by so many seconds, as after a correction of the time."""
    plain = time.time
    time.time = lambda: plain() + seconds

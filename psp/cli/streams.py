"""The standard streams where nobody reads them: closed, full, or of a program that has ended."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from psp.cli.unread import end_without_reader

# Errors of writing that name no file: of what a command prints.
OUTPUT_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE}


class _Remarks:
    """A stderr that cannot fail: a training goes on although its remarks can no longer be read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written, and say that it was."""
        try:
            return self._stream.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Write what is held back, if that is possible."""
        try:
            self._stream.flush()
        except OSError:
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Give a closed standard stream the null device, and let no failing stderr end a command.

    Otherwise the next file that is opened gets the stream's number, and what a library prints goes
    into that file: a shard, or a checkpoint.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    stderr = sys.stderr
    sys.stderr = remarks = _Remarks(stderr)
    try:
        yield
    finally:
        if sys.stderr is remarks:
            sys.stderr = stderr
        try:
            stderr.flush()
        except OSError:  # Python would try again when it ends, and change the exit code
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


@contextmanager
def results_written() -> Iterator[None]:
    """End with one line and exit code 2 if what goes to stdout cannot be written.

    Where whoever reads it has ended, such as `head`, the exit code is that of SIGPIPE.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where it can fail like every other writing
    except OSError as error:
        if error.errno not in OUTPUT_LOST or error.filename is not None:
            raise
        if error.errno == errno.EPIPE:
            end_without_reader()
        # When Python ends, it would write once more what it still holds.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        from psp.cli.console import show_error

        show_error(f"the output cannot be written: {error.strerror}.")
        sys.exit(2)

"""Errors that the user can fix.

A message says what is wrong, where, and the next command, in one line. The command line shows it
without a traceback and exits with code 2; anything else that is raised is a bug of psp.
"""

import difflib
from collections.abc import Iterable


class PspError(Exception):
    """An error the user can fix: in a file, a folder, a setting. The message is one line."""

    def __str__(self) -> str:
        """Return the message; what a terminal cannot show, as in some file names, is escaped."""
        return printable(super().__str__())


class ReportedError(PspError):
    """Another rank of a training has this error, and prints it."""


def printable(text: str) -> str:
    """Return a text in which what a terminal cannot show is escaped: \\n, \\udcff."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known word closest to `word`, or "" if none is."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""

"""Errors that the user can fix.

A message says what is wrong, where, and the next command, in one line. The command line shows it
without a traceback and exits with code 2; anything else that is raised is a bug of psp.
"""

import difflib
import re
from collections.abc import Iterable


class PspError(Exception):
    """An error the user can fix: in a file, a folder, a setting. The message is one line."""

    def __str__(self) -> str:
        """Return the message; what a terminal cannot show, as in some file names, is escaped."""
        return printable(super().__str__())


class PictureError(PspError):
    """A picture that cannot be predicted as asked; who knows its name puts it in front."""


class ReportedError(PspError):
    """Another rank of a training has this error, and prints it."""


def printable(text: str) -> str:
    """Return a text in which what a terminal cannot show is escaped: \\n, \\udcff."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known word closest to `word`, or "" if none is.

    A longer name that begins with the whole word, as town-resnet18 does with town, is the closest.
    """
    spellings = {name.casefold(): name for name in reversed(list(known))}
    folded = word.casefold()
    longer = [name for name in spellings if re.match(rf"{re.escape(folded)}[-_. /]", name)]
    close = difflib.get_close_matches(folded, spellings, n=1, cutoff=0.5)
    found = sorted(longer, key=len) or close
    return f" Did you mean '{spellings[found[0]]}'?" if folded and found else ""

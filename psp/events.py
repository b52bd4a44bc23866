"""What long work reports while it goes on: how far it is, and what is worth saying once.

A function that takes long has a parameter `report`, which it calls with these; it never prints.
What only one kind of work has to say, such as a training its losses, is a record of its own there.
"""

from collections.abc import Callable
from dataclasses import dataclass

WINDOWS = "windows"  # unit of progress inside a picture that takes long


@dataclass(frozen=True)
class Progress:
    """`done` of `total` are done, counted in `unit`; `total` is None where nobody knows it.

    In WINDOWS it is of the picture that comes next, in addition to what was reported before.
    """

    done: int
    total: int | None
    unit: str


@dataclass(frozen=True)
class Notice:
    """Something worth saying once, in one line."""

    text: str


@dataclass(frozen=True)
class Incomplete(Notice):
    """A notice that the result lacks pictures of the input: the exit code is then 3."""


Report = Callable[[Progress | Notice], None]


def ignore(event: object) -> None:
    """Report to nobody: the default of every `report`."""

"""To what size pictures are brought: `long:N`, `short:N`, or WIDTHxHEIGHT to fit inside."""

from typing import NamedTuple

from psp.errors import PspError
from psp.settings.size import Size, parse_pair

LARGEST_SIDE = 32768  # that pictures are resized to


class Target(NamedTuple):
    """The sides that pictures are brought to at scale 1, in pixels; None: no such bound.

    With both, a picture becomes as large as fits inside; with none, it stays as it is.
    """

    long: int | None = None
    short: int | None = None

    def factor(self, height: int, width: int) -> float:
        """Return by what a picture's sides are multiplied at scale 1."""
        pairs = ((self.long, max(height, width)), (self.short, min(height, width)))
        return min((bound / side for bound, side in pairs if bound is not None), default=1.0)


def parse_resize(text: str, name: str = "--resize") -> Target:
    """Return the sides that a text asks for. Raises PspError, which calls it `name`."""
    kind, _, side = text.partition(":")
    if kind in ("long", "short") and side.isdecimal():
        sides: tuple[int, ...] = (int(side),)
        target = Target(long=int(side)) if kind == "long" else Target(short=int(side))
    else:
        message = f"{name} {text}: long:N, short:N, own, or WIDTHxHEIGHT to fit inside."
        sides = width_height(text, message)
        target = Target(long=max(sides), short=min(sides))
    if not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise PspError(f"{name} {text}: sides of 1 to {LARGEST_SIDE}.")
    return target


def width_height(text: str, message: str) -> Size:
    """Return the width and height of WIDTHxHEIGHT. Raises PspError with that message."""
    pair = parse_pair(text)
    if pair is None:
        raise PspError(message)
    return pair

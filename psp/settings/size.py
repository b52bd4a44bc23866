"""Sides of crops, windows and pictures: where people read or write them, width first (683x512)."""

import re
from typing import Any, NamedTuple

# What recipes, config.json and weights say of a crop: the side of a square, or WIDTHxHEIGHT.
Sides = int | str


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, as arrays have them."""
        return self.height, self.width


def parse_pair(text: str) -> Size | None:
    """Return what WIDTHxHEIGHT says; None for another text."""
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text, re.ASCII)
    return Size(int(found[1]), int(found[2])) if found else None


def is_sides(value: Any) -> bool:
    """Whether a value is the side of a square, or WIDTHxHEIGHT of a rectangle."""
    if isinstance(value, str):
        pair = parse_pair(value)
        return pair is not None and pair.width != pair.height
    return isinstance(value, int) and not isinstance(value, bool)


def size_of(sides: Sides) -> Size:
    """Return the width and height of what `is_sides`."""
    if isinstance(sides, int):
        return Size(sides, sides)
    pair = parse_pair(sides)
    assert pair is not None
    return pair

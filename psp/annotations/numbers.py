"""Numbers as annotation files give them, checked before anything is computed from them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FARTHEST = 1 << 20  # pixels: no picture is as large, so a coordinate beyond is a mistake

Points = NDArray[np.float64]  # (n, 2): x, y


def number(value: object, what: str) -> float:
    """Return a coordinate or length as float. Raises ValueError, with `what` in its text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{what} is no number ({short(value)})")
    if not abs(value) <= FARTHEST:
        raise ValueError(f"{what} is {short(value)}: no place in a picture")
    return float(value)


def whole(value: object, what: str) -> int:
    """Return a whole number, which may be written as 12.0. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{what} is no whole number ({short(value)})")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{what} is no whole number ({short(value)})")
    return int(value)


def size(width: object, height: object, of: str = "the picture") -> tuple[int, int] | None:
    """Return the width and height that a file states, or None if it states none.

    Raises ValueError if they are no size of a picture.
    """
    if width is None or height is None:
        return None
    sides = whole(width, f"{of}'s width"), whole(height, f"{of}'s height")
    if not (0 < sides[0] <= FARTHEST and 0 < sides[1] <= FARTHEST):
        raise ValueError(f"{of}'s size is {short(sides[0])} x {short(sides[1])}")
    return sides


def points(values: object, least: int = 3) -> Points:
    """Return [[x, y], …] or [x, y, x, y, …] as an array (n, 2).

    Raises ValueError if they are no numbers, too far from any picture, or fewer than `least`.
    """
    array = _array(values)
    if array.ndim == 1 and array.size % 2:
        raise ValueError(f"{array.size} coordinates: x and y come in pairs")
    if array.ndim > 2 or (array.ndim == 2 and array.size and array.shape[1] != 2):
        raise ValueError("its points are no pairs of x and y")
    array = array.reshape(-1, 2)
    if len(array) < least:
        raise ValueError(f"{len(array)} points, where {least} are needed")
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(array) <= FARTHEST)  # not a number is wrong, too
    if wrong.any():
        raise ValueError(f"a coordinate is {array[wrong][0]:g}: no place in a picture")
    return array


def _array(values: object) -> NDArray[np.float64]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"no list of points ({short(values)})")
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        raise ValueError("its points are no pairs of x and y") from None
    if array.size and array.dtype.kind not in "iuf":
        raise ValueError("its points hold something that is no number")
    return array.astype(np.float64)


def short(value: Any) -> str:
    """Return a value as it may stand in a message: a number, a short text, or its kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**15:
        return "a huge number"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}…{text[-1]}"

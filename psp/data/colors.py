"""Colors for classes that come without one: easy to tell apart, and the same each time."""

import colorsys
from collections.abc import Callable, Collection, Iterator
from typing import Any

Color = tuple[int, int, int]  # (R, G, B) in 0..255

BLACK: Color = (0, 0, 0)
_GOLDEN = 0.618034  # of the circle of hues: steps of it never come near one another for long
_TONES = ((0.75, 0.95), (0.55, 0.70), (0.95, 0.75))  # saturation and value


def made_colors(taken: Collection[Color] = ()) -> Iterator[Color]:
    """Yield colors without end, each once, none of which is in `taken`, white or black."""
    used = {BLACK, (255, 255, 255), *taken}
    step = 0
    while True:
        saturation, value = _TONES[step // 7 % len(_TONES)]
        red, green, blue = colorsys.hsv_to_rgb(step * _GOLDEN % 1.0, saturation, value)
        color = (round(red * 255), round(green * 255), round(blue * 255))
        step += 1
        if color not in used:
            used.add(color)
            yield color


def with_made_colors(items: list[Any], packed: Callable[[Any, str], int]) -> list[Any]:
    """Return a card's tables of classes, each with a color: "#rrggbb", made where it has none.

    `packed` returns 65536 R + 256 G + B of a color's text, or raises.
    """
    codes = [
        packed(item["color"], f"class {index} '{item.get('name', '?')}': color")
        for index, item in enumerate(items)
        if isinstance(item, dict) and "color" in item
    ]
    made = made_colors({(code >> 16, code >> 8 & 255, code & 255) for code in codes})
    return [
        {**item, "color": "#{:02x}{:02x}{:02x}".format(*next(made))}
        if isinstance(item, dict) and "color" not in item
        else item
        for item in items
    ]

"""What a mask's palette says about its values: that they were renumbered, or are grays.

Programs that save a palette file with a new palette renumber the values: all of them may still be
known to the card, but mean other classes.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.data.card import IGNORE
from psp.errors import PspError
from psp.images.labels import histogram, label_palette


def labels_by_palette(
    raw: NDArray[Any],
    data: bytes,
    where: str,
    table: NDArray[np.int16],
    color_to_ids: Mapping[int, Collection[int]],
    names: Sequence[str],
) -> NDArray[Any]:
    """Return a label file's values (H, W): its indices, or its grays where only they are labels.

    `table` maps raw values to class ids, below 0 for unknown ones; `color_to_ids` the card's
    colors, which classes may share.
    Raises PspError if the palette shows a class in another class's color, or if both the indices
    and the grays could be meant.
    """
    palette = label_palette(data)
    if not palette:
        return raw
    values = np.flatnonzero(histogram(raw)).tolist()
    _check_colors(values, palette, where, table, color_to_ids, names)
    grays = {value: palette[value] & 255 for value in values if value in palette}
    if any(palette[value] != gray * 0x010101 for value, gray in grays.items()):
        return raw  # in colors
    if len(grays) < len(values) or all(value == gray for value, gray in grays.items()):
        return raw
    if all(int(table[value]) in color_to_ids.get(palette[value], ()) for value in values):
        return raw  # the card's own colors
    # Black and white are more likely a class and another than a class and what is ignored; but a
    # GIF has no grays of its own, so programs write each used gray into its palette.
    none = {-1} if data.startswith(b"GIF8") else {-1, IGNORE}
    if any(int(table[gray]) in none for gray in grays.values()):
        return raw
    if all(table[value] >= 0 for value in values):
        shown = ", ".join(f"{value} is gray {gray}" for value, gray in list(grays.items())[:4])
        raise PspError(
            f"{where}: a palette file of grays, in which both could be labels: value {shown}. Was "
            "the palette made by the program that saved it? Save the mask as a gray PNG"
        )
    lookup = np.zeros(256, np.uint8)
    lookup[list(grays)] = list(grays.values())
    labels: NDArray[np.uint8] = lookup[raw]
    return labels


def _check_colors(
    values: Sequence[int],
    palette: Mapping[int, int],
    where: str,
    table: NDArray[np.int16],
    color_to_ids: Mapping[int, Collection[int]],
    names: Sequence[str],
) -> None:
    """Raise PspError if a palette file shows a class in another class's color."""
    for value in values:
        shown = color_to_ids.get(palette.get(value, -1), ())
        if not shown:
            continue
        if int(table[value]) not in (*shown, IGNORE) and table[value] >= 0:
            raise PspError(
                f"{where}: its palette paints value {value} in the color of "
                f"{' and '.join(repr(names[index]) for index in shown)}, but "
                f"the value means '{names[table[value]]}'. Was it saved with another palette? Take "
                "the official file (or, if the file is right, change the card's colors)"
            )

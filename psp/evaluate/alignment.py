"""Whether a mask's shapes lie where a network sees them, or a little beside that.

A mask that was drawn on another copy of the photo, or exported with an offset, has all the right
shapes in the wrong place. Even a network of little training then says so: at the shapes' borders
its probabilities fit the labels better when these are moved.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.data.card import IGNORE

CELLS = 120  # along the longer side: what is compared is so coarse
REACH = 0.08  # how far shapes are moved, as a share of the side
BORDER = 2  # cells from a border between labels that count
FLOOR = 1e-3  # added to a probability before its logarithm


@dataclass(frozen=True)
class Offset:
    """Where a mask's shapes fit best: (down, right) in pixels, negative is up and left.

    `gain` is by how much the mean log probability of the labels near borders rises there, 0 or
    more; there, more of them are the network's own classes too.
    """

    down: int
    right: int
    gain: float


def grid(length: int, longer: int) -> NDArray[np.int64]:
    """Return the pixels of a side that are compared: those in the middle of each cell."""
    cell = _cell(longer)
    return np.arange(cell // 2, length, cell)


def _cell(longer: int) -> int:
    return max(1, round(longer / CELLS))


def best_offset(
    probabilities: NDArray[np.float32], label: NDArray[np.uint8], size: tuple[int, int]
) -> Offset | None:
    """Find where the shapes of a mask fit a network's probabilities best.

    `probabilities` (classes, h, w) and the class ids `label` (h, w) are those at the pixels of
    `grid` of a picture of `size` (height, width). None where no border can be moved.
    """
    h, w = label.shape
    reach_y, reach_x = round(REACH * h), round(REACH * w)
    border = np.zeros((h, w), np.uint8)
    border[:, 1:] |= label[:, 1:] != label[:, :-1]
    border[1:] |= label[1:] != label[:-1]
    around = np.ones((2 * BORDER + 1, 2 * BORDER + 1), np.uint8)
    near = (cv2.dilate(border, around) > 0) & (label != IGNORE)
    # Cells at the picture's edge could not be moved: the same cells are compared everywhere.
    near[:reach_y] = near[h - reach_y :] = False
    near[:, :reach_x] = near[:, w - reach_x :] = False
    y, x = np.nonzero(near)
    if not len(y):
        return None
    fit = np.log(probabilities + FLOOR)
    classes = label[y, x]
    moves = [
        (down, right)
        for down in range(-reach_y, reach_y + 1)
        for right in range(-reach_x, reach_x + 1)
    ]
    fits = [float(fit[classes, y + down, x + right].mean()) for down, right in moves]
    here = fits[moves.index((0, 0))]
    best = int(np.argmax(fits))
    down, right = moves[best]
    # Where a network is surer inside of shapes than at their borders, moving makes labels likelier
    # without making more of them right.
    predicted = probabilities.argmax(0)
    if (predicted[y + down, x + right] == classes).sum() <= (predicted[y, x] == classes).sum():
        return Offset(0, 0, 0.0)
    cell = _cell(max(size))
    return Offset(down * cell, right * cell, fits[best] - here)


def in_words(offset: Offset) -> str:
    """Return where the shapes fit: "12 pixels further left and 4 further up"."""
    parts = [
        (abs(pixels), words[pixels > 0])
        for pixels, words in ((offset.right, ("left", "right")), (offset.down, ("up", "down")))
        if pixels
    ]
    (first, side), rest = parts[0], parts[1:]
    more = "".join(f" and {count} further {way}" for count, way in rest)
    return f"{first} pixels further {side}{more}"

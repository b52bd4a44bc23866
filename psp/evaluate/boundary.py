"""How well the borders between classes lie: counts for a boundary F-score.

The measure is that of Csurka et al., "What is a good evaluation measure for semantic
segmentation?", BMVC 2013: of the border pixels of a class, how many lie within 0.75% of the
picture's diagonal of a border pixel of that class in the other map. Precision looks from the
prediction, recall from the labels, F is their harmonic mean. Theirs is a mean of pictures' means;
here the pixels are counted over the whole split and divided once, as for IoU, so that a picture
with more border weighs more and any number of ranks gives the same.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from psp.data.card import IGNORE

TOLERANCE = 0.0075  # of the diagonal; one pixel at least
NEAR_PREDICTED, PREDICTED, NEAR_TARGET, TARGET = range(4)  # the columns of the counts


def boundary_counts(
    truth: NDArray[np.uint8], guess: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Count border pixels of two uint8 (H, W) maps: int64 (classes, 4).

    The columns: border pixels of the prediction that are near one of the labels, all of the
    prediction's, those of the labels near one of the prediction, all of the labels'. A border pixel
    has a neighbor above, below, left or right of another value. Where labels are void the
    prediction is too, so that along void the class beside it decides.
    """
    guess = np.where(truth == IGNORE, np.uint8(IGNORE), guess)
    true, predicted = _borders(truth), _borders(guess)
    near_predicted, all_predicted = _near(predicted, true)
    near_true, all_true = _near(true, predicted)
    return np.stack([near_predicted, all_predicted, near_true, all_true], axis=1)[:classes]


def tolerance(shape: tuple[int, ...]) -> int:
    """Return the largest squared distance, in pixels, that still counts as near."""
    height, width = shape
    return max(1, int(TOLERANCE**2 * (height**2 + width**2)))


def _borders(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the map with everything void that has no neighbor of another value."""
    edge = np.zeros(label.shape, bool)
    below, right = label[:-1] != label[1:], label[:, :-1] != label[:, 1:]
    edge[:-1] |= below
    edge[1:] |= below
    edge[:, :-1] |= right
    edge[:, 1:] |= right
    return np.where(edge, label, np.uint8(IGNORE))


def _near(
    ones: NDArray[np.uint8], others: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count, of each value, the pixels of `ones` near one of that value in `others`; and all.

    Border pixels are few and most have their partner close by: to look at one neighbor after the
    other, nearest first, for those that are left takes less than a tenth of the time of a distance
    transform for each class.
    """
    offsets = _offsets(tolerance(ones.shape))
    reach = int(offsets.max())
    padded = np.pad(others, reach, constant_values=IGNORE)
    rows, columns = np.nonzero(ones != IGNORE)
    places = (rows + reach) * padded.shape[1] + columns + reach
    values = ones[rows, columns]
    total = np.bincount(values, minlength=IGNORE)
    flat = padded.ravel()
    for step in (offsets[:, 0] * padded.shape[1] + offsets[:, 1]).tolist():
        alone = flat[places + step] != values
        places, values = places[alone], values[alone]
        if not len(places):
            break
    return total - np.bincount(values, minlength=IGNORE), total


@cache
def _offsets(limit: int) -> NDArray[np.int64]:
    """Return the steps (rows, columns) of a squared length to `limit`, the shortest first."""
    reach = math.isqrt(limit)
    line = np.arange(-reach, reach + 1)
    steps = np.stack(np.meshgrid(line, line, indexing="ij"), axis=2).reshape(-1, 2)
    squares = (steps**2).sum(1)
    order = np.argsort(squares, kind="stable")
    return np.asarray(steps[order[squares[order] <= limit]], np.int64)

"""How well the borders between classes lie: counts for a boundary F-score.

The measure is that of Csurka et al., "What is a good evaluation measure for semantic
segmentation?", BMVC 2013: of the border pixels of a class, how many lie within 0.75% of the
picture's diagonal of a border pixel of that class in the other map. Precision looks from the
prediction, recall from the labels, F is their harmonic mean. Theirs is a mean of pictures' means;
here the pixels are counted over the whole split and divided once, as for IoU, so that a picture
with more border weighs more and any number of ranks gives the same.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.cards import IGNORE

TOLERANCE = 0.0075  # of the diagonal; one pixel at least
NEAR_GUESSED, GUESSED, NEAR_TRUE, TRUE = range(4)  # the columns of the counts


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
    true_edge, guessed_edge = _edge(truth), _edge(guess)
    limit = tolerance(truth.shape)
    counts = np.zeros((classes, 4), np.int64)
    for number in np.union1d(truth[true_edge], guess[guessed_edge]):
        if number == IGNORE:
            continue
        true = true_edge & (truth == number)
        guessed = guessed_edge & (guess == number)
        counts[number, GUESSED], counts[number, TRUE] = guessed.sum(), true.sum()
        if counts[number, GUESSED] and counts[number, TRUE]:
            box = _box(true | guessed)
            true, guessed = true[box], guessed[box]
            counts[number, NEAR_GUESSED] = (_squares(true)[guessed] <= limit).sum()
            counts[number, NEAR_TRUE] = (_squares(guessed)[true] <= limit).sum()
    return counts


def tolerance(shape: tuple[int, ...]) -> int:
    """Return the largest squared distance, in pixels, that still counts as near."""
    height, width = shape
    return max(1, int(TOLERANCE**2 * (height**2 + width**2)))


def _edge(label: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mark the pixels with a neighbor of another value."""
    edge = np.zeros(label.shape, bool)
    below, right = label[:-1] != label[1:], label[:, :-1] != label[:, 1:]
    edge[:-1] |= below
    edge[1:] |= below
    edge[:, :-1] |= right
    edge[:, 1:] |= right
    return edge


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _squares(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return each pixel's squared distance to the nearest marked one; they are whole numbers."""
    far = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.rint(np.asarray(far, np.float64) ** 2).astype(np.int64)

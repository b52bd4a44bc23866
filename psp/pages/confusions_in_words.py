"""The largest entries of a confusion matrix in words: 18% of sidewalk is taken for road."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Confusion:
    """A share, 0 to 1, of the pixels of a true class that are predicted as another, or the other
    way round; and these pixels."""

    share: float
    true: str
    predicted: str
    pixels: int

    @property
    def percent(self) -> str:
        """The share as text: 18%, 0.4%."""
        return f"{100 * self.share:.0f}%" if self.share >= 0.095 else f"{100 * self.share:.1f}%"


def largest_confusions(
    confusion: NDArray[np.int64], names: Sequence[str], count: int, *, by_prediction: bool = False
) -> list[Confusion]:
    """Return the pairs of classes with the largest shares, the largest first.

    `confusion` is int64 (classes, classes), [true, predicted]. The share is that of the true
    class's pixels, or if `by_prediction` of all pixels predicted as the class.
    """
    whole = confusion.sum(0)[None, :] if by_prediction else confusion.sum(1)[:, None]
    wrong = confusion - np.diag(np.diag(confusion))
    shares = wrong / np.maximum(1, whole)
    order = np.lexsort((-wrong.ravel(), -shares.ravel()))[:count]
    pairs = [divmod(int(place), len(names)) for place in order if wrong.ravel()[place]]
    return [Confusion(float(shares[t, p]), names[t], names[p], int(wrong[t, p])) for t, p in pairs]

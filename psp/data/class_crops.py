"""Crops of rare classes: the class first, then a picture that has it, then one of its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psp.data.shards import ShardSplit

_STREAM = 3  # of the random numbers of a sample; psp.data.loader has the others


@dataclass(frozen=True)
class Draw:
    """A class id, the picture to look for it in, and which of its pixels there: 0 first, 1 last."""

    class_id: int
    index: int
    position: float

    def pixel(self, label: NDArray[np.uint8]) -> tuple[int, int] | None:
        """Return row and column of the drawn pixel; None if the label has none of the class."""
        places = np.flatnonzero(label == self.class_id)
        if not len(places):
            return None  # its histogram is wrong, which psp verify says
        row, column = divmod(int(places[int(self.position * len(places))]), label.shape[1])
        return row, column


@dataclass(frozen=True)
class ClassDraws:
    """Draws for a `share` of the samples, each a function of the seed and the sample's number.

    `pictures` has each class that occurs, and the indices of the pictures that have it.
    """

    share: float
    seed: int
    pictures: Sequence[tuple[int, NDArray[np.int32]]] = ()

    def __call__(self, number: int) -> Draw | None:
        """Return what to look for in a sample; None for an ordinary one."""
        if not self.share:
            return None
        rng = np.random.default_rng([self.seed, _STREAM, number])
        turn, which, picture, position = rng.random(4)
        if turn >= self.share:
            return None
        class_id, found = self.pictures[int(which * len(self.pictures))]
        return Draw(class_id, int(found[int(picture * len(found))]), position)


def class_draws(split: ShardSplit, share: float, seed: int) -> ClassDraws:
    """Return the draws for a split; its histograms are read only where the share is not 0."""
    if not share:
        return ClassDraws(share, seed)
    found: list[list[NDArray[np.int32]]] = [[] for _ in split.card.names]
    start = 0
    for table in split.histograms():
        for places, column in zip(found, table[:, :-1].T, strict=True):  # the last one is void
            places.append((start + np.flatnonzero(column)).astype(np.int32))
        start += len(table)
    joined = enumerate(map(np.concatenate, found))
    return ClassDraws(share, seed, [(number, places) for number, places in joined if len(places)])

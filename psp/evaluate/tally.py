"""What is counted in a split: the confusion matrix, borders, and the scores of every picture."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from psp.evaluate.metrics import Counts, miou_occurring, pixel_accuracy, scores_of


@dataclass(frozen=True)
class PictureScore:
    """One picture's scores, to find the worst ones. NaN if the whole picture is void.

    `miou` is the mean over the classes that are labeled or predicted in it.
    """

    index: int  # in the split
    name: str
    miou: float
    pixel_accuracy: float


class Tally:
    """Everything that is counted in a split, or in a share of it. Shares add up exactly."""

    def __init__(self, classes: int) -> None:
        self.confusion = np.zeros((classes, classes), np.int64)  # [t, p]: true t, predicted p
        self.borders = np.zeros((classes, 4), np.int64)  # the columns of boundary.py
        self.images = np.zeros(classes, np.int64)  # pictures with the class in their labels
        self.pictures: list[PictureScore] = []

    def add(self, index: int, name: str, confusion: Counts, borders: Counts) -> None:
        """Add a picture: its confusion matrix (classes, classes), and its `boundary_counts`."""
        miou, accuracy = miou_occurring(confusion), pixel_accuracy(confusion)
        if not confusion.any():
            miou = accuracy = math.nan
        self.pictures.append(PictureScore(index, name, miou, accuracy))
        self.images += confusion.any(1)
        self.confusion += confusion
        self.borders += borders

    def scores(self) -> dict[str, float]:
        """Return all scores of everything counted so far, by their keys."""
        return scores_of(self.confusion, self.borders)

    def worst(self, count: int) -> list[PictureScore]:
        """Return the pictures with the lowest mIoU, lowest first."""
        scored = [picture for picture in self.pictures if not math.isnan(picture.miou)]
        return sorted(scored, key=lambda picture: (picture.miou, picture.index))[:count]


def sum_tallies(tallies: Iterable[Tally], classes: int) -> Tally:
    """Return the sum of the tallies of several shares, with pictures in the split's order."""
    total = Tally(classes)
    for tally in tallies:
        total.confusion += tally.confusion
        total.borders += tally.borders
        total.images += tally.images
        total.pictures += tally.pictures
    total.pictures.sort(key=lambda picture: picture.index)
    return total

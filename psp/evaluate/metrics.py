"""Scores from integer counts: counted per pixel, divided once at the end.

The field knows three means of IoU. They agree where every class occurs in the labels, and differ on
parts of a set, long tails and sets of one's own:

    all       over all classes; one that is neither labeled nor predicted counts 0 (the authors':
              semseg util.intersectionAndUnion, Caffe eval_acc.m). It is the headline
    occurring over the classes that are labeled or predicted somewhere (mmsegmentation's nanmean)
    labeled   over the classes that are labeled somewhere (detectron2's)
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psp.evaluate.boundary import (
    NEAR_PREDICTED,
    NEAR_TARGET,
    PREDICTED,
    TARGET,
)

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """The field's measures, each in 0..1. Per class: NaN where it is undefined (no pixels).

    `miou` and `mean_accuracy` are the authors': means over ALL classes, absent ones counting 0.
    """

    miou: float
    miou_occurring: float
    miou_labeled: float
    mean_accuracy: float
    pixel_accuracy: float
    frequency_weighted_iou: float  # weighted with each class's share of the labels
    iou: Numbers  # (classes,)
    accuracy: Numbers  # (classes,) recall
    pixels: Counts  # (classes,) in the labels
    predicted: Counts  # (classes,) predicted, of the scored pixels

    @property
    def ade_score(self) -> float:
        """The scene parsing challenge's: the mean of mIoU and pixel accuracy."""
        return (self.miou + self.pixel_accuracy) / 2


class Confusion:
    """counts[t, g] = pixels of true class t that were predicted as class g; int64."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64)

    @classmethod
    def of(cls, counts: Counts) -> "Confusion":
        """Return that of counts (classes, classes)."""
        found = cls(len(counts))
        found.add(counts)
        return found

    def add(self, counts: Counts) -> None:
        """Add counts[t * classes + g], int64 (classes * classes,)."""
        self.counts += counts.reshape(self.classes, self.classes)

    def scores(self) -> Scores:
        """Return the scores of everything counted so far."""
        hit = np.diag(self.counts)
        true, predicted = self.counts.sum(1), self.counts.sum(0)
        union = true + predicted - hit
        with np.errstate(invalid="ignore"):
            iou, accuracy = hit / union, hit / true
        weighted = (true * np.nan_to_num(iou)).sum()
        return Scores(
            miou=float(np.nan_to_num(iou).mean()),
            miou_occurring=_mean(iou[union > 0]),
            miou_labeled=_mean(iou[true > 0]),
            mean_accuracy=float(np.nan_to_num(accuracy).mean()),
            pixel_accuracy=float(hit.sum() / max(1, true.sum())),
            frequency_weighted_iou=float(weighted / max(1, true.sum())),
            iou=iou,
            accuracy=accuracy,
            pixels=true,
            predicted=predicted,
        )


@dataclass(frozen=True)
class PictureScore:
    """One picture's scores: what to look at first. NaN where all of it is void.

    `miou` is the mean over the classes that are labeled or predicted in it.
    """

    index: int  # in the split
    name: str
    miou: float
    pixel_accuracy: float


class Tally:
    """Everything that is counted of a split, or of a part of it; parts add up exactly."""

    def __init__(self, classes: int) -> None:
        self.confusion = Confusion(classes)
        self.boundary = np.zeros((classes, 4), np.int64)  # the columns of boundary.py
        self.images = np.zeros(classes, np.int64)  # pictures with the class in their labels
        self.pictures: list[PictureScore] = []

    def add(self, index: int, name: str, counts: Counts, boundary: Counts) -> None:
        """Add a picture: counts[t * classes + g], and its `boundary_counts`."""
        one = Confusion(self.confusion.classes)
        one.add(counts)
        scores = one.scores()
        miou, accuracy = scores.miou_occurring, scores.pixel_accuracy
        if not one.counts.any():
            miou = accuracy = math.nan
        self.pictures.append(PictureScore(index, name, miou, accuracy))
        self.images += scores.pixels > 0
        self.confusion.add(counts)
        self.boundary += boundary

    def worst(self, count: int) -> list[PictureScore]:
        """Return the pictures of the lowest mIoU, lowest first."""
        scored = [picture for picture in self.pictures if not math.isnan(picture.miou)]
        return sorted(scored, key=lambda picture: (picture.miou, picture.index))[:count]

    def boundary_f(self) -> Numbers:
        """Return each class's boundary F-score, (classes,): NaN where it has no border anywhere."""
        counts = self.boundary
        with np.errstate(invalid="ignore"):
            precision = counts[:, NEAR_PREDICTED] / counts[:, PREDICTED]
            recall = counts[:, NEAR_TARGET] / counts[:, TARGET]
            found = 2 * precision * recall / (precision + recall)
        borders = counts[:, PREDICTED] + counts[:, TARGET] > 0
        return np.where(borders, np.nan_to_num(found), np.nan)

    @property
    def boundary_mean(self) -> float:
        """The mean boundary F-score of the classes that have a border, 0 if none has."""
        found = self.boundary_f()
        return _mean(found[~np.isnan(found)])


def joined(parts: Iterable[Tally], classes: int) -> Tally:
    """Return what several parts have counted together, in the split's order."""
    whole = Tally(classes)
    for part in parts:
        whole.confusion.counts += part.confusion.counts
        whole.boundary += part.boundary
        whole.images += part.images
        whole.pictures += part.pictures
    whole.pictures.sort(key=lambda picture: picture.index)
    return whole


def _mean(values: Numbers) -> float:
    return float(values.mean()) if len(values) else 0.0

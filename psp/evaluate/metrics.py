"""Scores from integer counts: counted per pixel, divided once at the end.

Three means of IoU are in use. They agree when every class occurs in the labels, and differ when
some classes are missing, as in a subset or a small data set:

    all       over all classes; one that is neither labeled nor predicted counts 0 (the authors'
              mean: semseg util.intersectionAndUnion, Caffe eval_acc.m). Reported as mIoU
    occurring over the classes that are labeled or predicted somewhere (mmsegmentation's nanmean)
    labeled   over the classes that are labeled somewhere (detectron2)
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

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """The usual measures, each in 0..1. Scores of a class are NaN if undefined (no pixels).

    `miou` and `mean_accuracy` are means over ALL classes, absent ones counting 0, as the authors'.
    """

    miou: float
    miou_occurring: float
    miou_labeled: float
    mean_accuracy: float
    pixel_accuracy: float
    frequency_weighted_iou: float  # weighted by each class's share of the labeled pixels
    iou: Floats  # (classes,)
    accuracy: Floats  # (classes,) recall
    pixels: Counts  # (classes,) in the labels
    predicted: Counts  # (classes,) predicted, of the scored pixels

    @property
    def ade_score(self) -> float:
        """The score of the ADE20K scene parsing challenge: mean of mIoU and pixel accuracy."""
        return (self.miou + self.pixel_accuracy) / 2


class Confusion:
    """counts[t, p] = pixels of true class t that were predicted as class p; int64."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64)

    @classmethod
    def of(cls, counts: Counts) -> "Confusion":
        """Return the confusion matrix with these counts (classes, classes)."""
        confusion = cls(len(counts))
        confusion.add(counts)
        return confusion

    def add(self, counts: Counts) -> None:
        """Add counts[t * classes + p], int64 (classes * classes,)."""
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
        self.confusion = Confusion(classes)
        self.boundary = np.zeros((classes, 4), np.int64)  # the columns of boundary.py
        self.images = np.zeros(classes, np.int64)  # pictures with the class in their labels
        self.pictures: list[PictureScore] = []

    def add(self, index: int, name: str, counts: Counts, boundary: Counts) -> None:
        """Add a picture: counts[t * classes + p], and its `boundary_counts`."""
        own = Confusion(self.confusion.classes)
        own.add(counts)
        scores = own.scores()
        miou, accuracy = scores.miou_occurring, scores.pixel_accuracy
        if not own.counts.any():
            miou = accuracy = math.nan
        self.pictures.append(PictureScore(index, name, miou, accuracy))
        self.images += scores.pixels > 0
        self.confusion.add(counts)
        self.boundary += boundary

    def worst(self, count: int) -> list[PictureScore]:
        """Return the pictures with the lowest mIoU, lowest first."""
        scored = [picture for picture in self.pictures if not math.isnan(picture.miou)]
        return sorted(scored, key=lambda picture: (picture.miou, picture.index))[:count]

    def boundary_f(self) -> Floats:
        """Return each class's boundary F-score, (classes,); NaN for a class without borders."""
        counts = self.boundary
        with np.errstate(invalid="ignore"):
            precision = counts[:, NEAR_PREDICTED] / counts[:, PREDICTED]
            recall = counts[:, NEAR_TARGET] / counts[:, TARGET]
            f_score = 2 * precision * recall / (precision + recall)
        borders = counts[:, PREDICTED] + counts[:, TARGET] > 0
        return np.where(borders, np.nan_to_num(f_score), np.nan)

    @property
    def boundary_mean(self) -> float:
        """The mean boundary F-score over the classes that have a border, 0 if none has."""
        f_scores = self.boundary_f()
        return _mean(f_scores[~np.isnan(f_scores)])


def sum_tallies(tallies: Iterable[Tally], classes: int) -> Tally:
    """Return the sum of the tallies of several shares, with pictures in the split's order."""
    total = Tally(classes)
    for tally in tallies:
        total.confusion.counts += tally.confusion.counts
        total.boundary += tally.boundary
        total.images += tally.images
        total.pictures += tally.pictures
    total.pictures.sort(key=lambda picture: picture.index)
    return total


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0

"""Scores from an integer confusion matrix: counted per pixel, divided once at the end."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scores:
    """The field's measures, each in 0..1. Per class: NaN where it is undefined (no pixels).

    `miou` is the authors': the mean over ALL classes, where a class that is neither in the labels
    nor predicted counts 0 (semseg util.intersectionAndUnion, Caffe eval_acc.m).
    """

    miou: float
    mean_accuracy: float
    pixel_accuracy: float
    iou: NDArray[np.float64]  # (classes,)
    accuracy: NDArray[np.float64]  # (classes,) recall
    pixels: NDArray[np.int64]  # (classes,) in the labels


class Confusion:
    """counts[t, g] = pixels of true class t that were guessed as class g; int64."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64)

    def add(self, counts: NDArray[np.int64]) -> None:
        """Add counts[t * classes + g], int64 (classes * classes,)."""
        self.counts += counts.reshape(self.classes, self.classes)

    def scores(self) -> Scores:
        """Return the scores of everything counted so far."""
        hit = np.diag(self.counts)
        true, guessed = self.counts.sum(1), self.counts.sum(0)
        union = true + guessed - hit
        with np.errstate(invalid="ignore"):
            iou, accuracy = hit / union, hit / true
            pixel_accuracy = hit.sum() / true.sum()
        return Scores(
            miou=float(np.nan_to_num(iou).mean()),
            mean_accuracy=float(np.nan_to_num(accuracy).mean()),
            pixel_accuracy=float(np.nan_to_num(pixel_accuracy)),
            iou=iou,
            accuracy=accuracy,
            pixels=true,
        )

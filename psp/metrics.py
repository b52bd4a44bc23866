"""Scores from an integer confusion matrix: counted per pixel, divided once at the end."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from psp.cards import IGNORE


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

    def add(self, truth: NDArray[np.uint8], guess: NDArray[np.uint8]) -> None:
        """Count one label map against one prediction of the same shape; 255 in `truth` is skipped.

        Raises ValueError for a value outside the classes: none is ever merged or dropped.
        """
        if truth.shape != guess.shape:
            raise ValueError(f"truth has shape {truth.shape}, guess {guess.shape}")
        scored = truth != IGNORE
        t, g = truth[scored].astype(np.int64), guess[scored].astype(np.int64)
        for name, values in (("truth", t), ("guess", g)):
            if values.size and (values.min() < 0 or values.max() >= self.classes):
                raise ValueError(f"{name} has class {values.max()}, of {self.classes} classes")
        self.add_counts(np.bincount(t * self.classes + g, minlength=self.classes**2))

    def add_counts(self, counts: NDArray[np.int64]) -> None:
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

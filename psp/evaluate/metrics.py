"""Scores from integer counts: counted per pixel, divided once at the end.

A score is one function from the counts to a number, and one line in `SCORES`. What stands there
is shown by psp evaluate, stored in a run's `evaluations`, and logged by training's validations.

Three means of IoU are in use. They agree when every class occurs in the labels, and differ when
some classes are missing, as in a subset or a small data set:

    all       over all classes; one that is neither labeled nor predicted counts 0 (the authors'
              mean: semseg util.intersectionAndUnion, Caffe eval_acc.m). Reported as mIoU
    occurring over the classes that are labeled or predicted somewhere (mmsegmentation's nanmean)
    labeled   over the classes that are labeled somewhere (detectron2)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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

# Measures of each class, (classes,); NaN where they are undefined. Below, a confusion matrix is
# int64 (classes, classes): counts[t, p] = pixels of true class t that were predicted as class p.


def hits(confusion: Counts) -> Counts:
    """Return each class's pixels that were predicted correctly."""
    return np.diag(confusion)


def labeled_pixels(confusion: Counts) -> Counts:
    """Return each class's pixels in the labels."""
    return np.asarray(confusion.sum(1))


def predicted_pixels(confusion: Counts) -> Counts:
    """Return each class's predicted pixels, of the scored ones."""
    return np.asarray(confusion.sum(0))


def iou(confusion: Counts) -> Floats:
    """Return each class's intersection over union; NaN where neither labeled nor predicted."""
    hit = hits(confusion)
    with np.errstate(invalid="ignore"):
        return hit / (labeled_pixels(confusion) + predicted_pixels(confusion) - hit)


def accuracy(confusion: Counts) -> Floats:
    """Return each class's share of correctly predicted pixels (recall); NaN where not labeled."""
    with np.errstate(invalid="ignore"):
        return hits(confusion) / labeled_pixels(confusion)


def boundary_f(borders: Counts) -> Floats:
    """Return each class's boundary F-score from `boundary_counts` (classes, 4); NaN where there is
    no border."""
    with np.errstate(invalid="ignore"):
        precision = borders[:, NEAR_PREDICTED] / borders[:, PREDICTED]
        recall = borders[:, NEAR_TARGET] / borders[:, TARGET]
        f_score = 2 * precision * recall / (precision + recall)
    some = borders[:, PREDICTED] + borders[:, TARGET] > 0
    return np.where(some, np.nan_to_num(f_score), np.nan)


# Scores: one number each.


def miou(confusion: Counts) -> float:
    """Return the mean IoU over all classes, absent ones counting 0, as the authors compute it."""
    return float(np.nan_to_num(iou(confusion)).mean())


def miou_occurring(confusion: Counts) -> float:
    """Return the mean IoU over the classes that are labeled or predicted, 0 if none is."""
    values = iou(confusion)
    return _mean(values[~np.isnan(values)])


def miou_labeled(confusion: Counts) -> float:
    """Return the mean IoU over the classes that are labeled, 0 if none is."""
    return _mean(iou(confusion)[labeled_pixels(confusion) > 0])


def mean_accuracy(confusion: Counts) -> float:
    """Return the mean accuracy over all classes, absent ones counting 0, as the authors do."""
    return float(np.nan_to_num(accuracy(confusion)).mean())


def mean_accuracy_labeled(confusion: Counts) -> float:
    """Return the mean accuracy over the classes that are labeled, 0 if none is."""
    return _mean(accuracy(confusion)[labeled_pixels(confusion) > 0])


def pixel_accuracy(confusion: Counts) -> float:
    """Return the share of all labeled pixels that are predicted correctly."""
    return float(hits(confusion).sum() / max(1, confusion.sum()))


def frequency_weighted_iou(confusion: Counts) -> float:
    """Return the mean IoU weighted by each class's share of the labeled pixels."""
    weighted = (labeled_pixels(confusion) * np.nan_to_num(iou(confusion))).sum()
    return float(weighted / max(1, confusion.sum()))


def ade_score(confusion: Counts) -> float:
    """Return the score of the ADE20K scene parsing challenge: mean of mIoU and pixel accuracy."""
    return (miou(confusion) + pixel_accuracy(confusion)) / 2


def mean_f1(confusion: Counts) -> float:
    """Return the mean over all classes of F1, 2 TP / (2 TP + FP + FN), absent ones counting 0.

    Of one class, F1 is the Dice coefficient of the two sets of pixels (Dice 1945).
    """
    both = labeled_pixels(confusion) + predicted_pixels(confusion)  # 2 TP + FP + FN
    return float((2 * hits(confusion) / np.maximum(1, both)).mean())


def mean_boundary_f(borders: Counts) -> float:
    """Return the mean boundary F-score over the classes that have a border, 0 if none has."""
    values = boundary_f(borders)
    return _mean(values[~np.isnan(values)])


@dataclass(frozen=True)
class Score:
    """A score, and how it is shown.

    `function` gets the counts that `counted` names: the confusion matrix, or the border pixels
    (classes, 4), which only psp evaluate counts.
    """

    key: str  # in JSON
    title: str  # in tables and TensorBoard
    function: Callable[[Counts], float]
    percent: bool = True  # it is in 0..1 and shown in percent
    counted: Literal["confusion", "borders"] = "confusion"

    def show(self, value: float) -> str:
        """Return the value as text."""
        return f"{100 * value:.2f}" if self.percent else f"{value:.4f}"


SCORES = (
    Score("miou", "mIoU", miou),
    Score("mean_accuracy", "mean accuracy", mean_accuracy),
    Score("pixel_accuracy", "pixel accuracy", pixel_accuracy),
    Score("ade_score", "ADE score", ade_score),
    Score("frequency_weighted_iou", "frequency-weighted IoU", frequency_weighted_iou),
    Score("boundary_f", "boundary F", mean_boundary_f, counted="borders"),
    Score("mean_f1", "mean F1", mean_f1),
    Score("mean_accuracy_labeled", "mean accuracy of labeled classes", mean_accuracy_labeled),
)


def scores_of(confusion: Counts, borders: Counts | None = None) -> dict[str, float]:
    """Return all scores that these counts determine, by their keys."""
    counts = {"confusion": confusion, "borders": borders}
    return {
        score.key: score.function(counted)
        for score in SCORES
        if (counted := counts[score.counted]) is not None
    }


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0

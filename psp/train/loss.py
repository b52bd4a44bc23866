"""The training loss: a sum of terms, each a sum over the step's pictures divided once.

A term is one entry in `loss_terms`. Cross entropy of the main and the auxiliary head are always
there; the others are off until a setting gives them a factor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from psp.data.card import IGNORE
from psp.model.backbones.backbone import Backbone
from psp.model.pspnet import Logits, upsample
from psp.settings.loss import LossSettings


def labeled_pictures(target: Tensor) -> Tensor:
    """Return how many of (B, h, w) targets have a valid pixel, a float32 scalar."""
    return (target != IGNORE).flatten(1).any(1).sum().float()


@dataclass(frozen=True)
class Term:
    """One term of the loss: factor * sum / weight.

    `sum` gets float32 logits (B, classes, h, w) and the target (B, h, w), int64 class ids with
    IGNORE for void, and returns a scalar. `weight` returns what the sum is divided by, from the
    target alone. Both must add up over pictures. Then micro-batches and ranks, which each see
    some of a step's pictures, give the loss of one process that sees all: their weights are summed
    first, and every part's sum is divided by that.
    """

    name: str  # in the log, metrics.jsonl and TensorBoard, where it stands without its factor
    factor: float
    sum: Callable[[Tensor, Tensor], Tensor]
    weight: Callable[[Tensor], Tensor] = labeled_pictures
    head: str = "main"  # whose logits: main or aux


def loss_terms(settings: LossSettings, class_weights: Tensor | None) -> tuple[Term, ...]:
    """Return the terms that are on. `class_weights` is float32 (classes,), or None for 1 each."""
    pixels = CrossEntropy(settings, class_weights)
    optional = [
        Term("dice", settings.dice, dice),
        Term("lovasz", settings.lovasz, lovasz_softmax),
    ]
    return (
        Term("main", 1.0, pixels.sum, pixels.weight),
        Term("aux", settings.aux_weight, pixels.sum, pixels.weight, head="aux"),
        *(term for term in optional if term.factor > 0),
    )


@dataclass(frozen=True)
class CrossEntropy:
    """Cross entropy, a mean over valid pixels, or over their classes' weights.

    `ohem`: only pixels whose true class has a lower probability than this count (online hard
    example mining, Shrivastava et al. 2016), and of each picture at least the `ohem_keep` hardest
    share of its valid pixels; 0 counts all. Easy pixels still count in the denominator: a batch
    that is nearly learned moves the weights less, and the sum does not depend on how pictures are
    spread over micro-batches.

    `label_smoothing`: as torch's; which pixels are hard is decided without it.
    """

    settings: LossSettings
    class_weights: Tensor | None = None

    def weight(self, target: Tensor) -> Tensor:
        """Return the number of valid pixels, or the sum of their classes' weights.

        With `mean_over` all pixels it is their number, as in mmsegmentation, whatever the weights.
        """
        if self.settings.mean_over == "all":
            return torch.tensor(float(target.numel()), device=target.device)
        if self.class_weights is None:
            return (target != IGNORE).sum().float()
        return _pixel_weights(self.class_weights, target).sum()

    def sum(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the sum over the pixels that count."""
        # A flat list of pixels: for maps, torch has no deterministic kernel on CUDA.
        flat, labels = logits.permute(0, 2, 3, 1).flatten(0, 2), target.flatten()
        pixels = F.cross_entropy(flat, labels, ignore_index=IGNORE, reduction="none")
        hard = None
        if self.settings.ohem > 0:
            with torch.no_grad():
                hard = self._hard(pixels.view(len(target), -1), target.flatten(1) != IGNORE)
        if self.settings.label_smoothing > 0:
            pixels = F.cross_entropy(
                flat,
                labels,
                self.class_weights,
                ignore_index=IGNORE,
                reduction="none",
                label_smoothing=self.settings.label_smoothing,
            )
        if hard is not None:
            pixels = pixels * hard.flatten()
        if self.class_weights is not None and not self.settings.label_smoothing:
            pixels = pixels * _pixel_weights(self.class_weights, labels)
        return pixels.sum()

    def _hard(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Return which of (B, n) pixel losses count; a void pixel's loss is 0, the easiest."""
        keep = (valid.sum(1) * self.settings.ohem_keep).ceil().long()  # (B,)
        order = pixels.sort(dim=1, descending=True).values
        last = order.gather(1, (keep - 1).clamp(min=0)[:, None])  # loss of the last one kept
        # The probability as a loss.
        limit = torch.full_like(last, -float(np.log(self.settings.ohem)))
        return (pixels > limit) | ((pixels >= last) & (keep > 0)[:, None] & valid)


def _pixel_weights(class_weights: Tensor, target: Tensor) -> Tensor:
    valid = target != IGNORE
    return class_weights[target.where(valid, 0)] * valid


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Return the sum over pictures of the soft Dice loss, each 0..1.

    A picture's loss is 1 minus the mean of 2 * sum(p * y) / (sum(p) + sum(y)) over the classes in
    its target, p being the softmax and y 0 or 1, over its valid pixels (Milletari et al. 2016,
    V-Net, with p and y for their squares as in Sudre et al. 2017). Per picture, and not over the
    batch, because only then it adds up over pictures. A picture without a valid pixel gives 0.
    """
    valid = (target != IGNORE)[:, None]  # (B, 1, h, w)
    probability = logits.softmax(1) * valid  # (B, classes, h, w)
    classes = torch.arange(logits.shape[1], device=target.device).view(1, -1, 1, 1)
    true = target[:, None] == classes  # (B, classes, h, w); void is no class
    pixels = true.sum((2, 3))  # (B, classes)
    overlap = (probability * true).sum((2, 3))
    # At least a tiny number, for classes that are neither labeled nor predicted.
    coefficient = 2 * overlap / (probability.sum((2, 3)) + pixels).clamp(min=1e-6)
    present = pixels > 0
    mean = (coefficient * present).sum(1) / present.sum(1).clamp(min=1)
    return ((1 - mean) * present.any(1)).sum()


def lovasz_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """Return the sum over pictures of the Lovász-softmax, each 0..1.

    A picture's loss is the mean, over the classes in its target, of the Lovász extension of
    1 - IoU at the pixels' errors, which are |y - p| for the softmax p and y 0 or 1 (Berman et al.
    2018, equations 8 and 9). It is per picture, as `dice` is and for the same reason. A picture
    without a valid pixel gives 0. Sorting the errors of absent classes would take longer than to
    ask a GPU once which ones there are, so this waits for it.
    """
    total, flat = logits.sum() * 0.0, target.flatten(1)
    found = flat.new_zeros(len(flat), IGNORE + 1, dtype=torch.bool).scatter_(1, flat, True)
    for scores, labels, ids in zip(
        logits.flatten(2), flat, found[:, :IGNORE].tolist(), strict=True
    ):
        present = [index for index, there in enumerate(ids) if there]
        if present:
            probability = scores.softmax(0)
            true = torch.stack([labels == index for index in present])  # (present, pixels)
            errors = (true.float() - torch.stack([probability[index] for index in present])).abs()
            # A void pixel has no error: it comes last, and changes nothing.
            errors = errors * (labels != IGNORE)
            total = total + (errors * _jaccard_steps(errors.detach(), true)).sum() / len(present)
    return total


def _jaccard_steps(errors: Tensor, true: Tensor) -> Tensor:
    """Return by how much 1 - IoU grows with each pixel that is added to the wrong ones, the largest
    errors first: the gradient of the Lovász extension. All are (classes, pixels)."""
    order = errors.argsort(dim=1, descending=True, stable=True)
    hits = true.gather(1, order).long()
    count = hits.sum(1, keepdim=True)
    left = count - hits.cumsum(1)  # whole numbers are exact in any order
    united = count + (1 - hits).cumsum(1)
    loss = 1 - left / united
    steps = loss.diff(dim=1, prepend=torch.zeros_like(loss[:, :1]))
    return torch.zeros_like(steps).scatter(1, order, steps)


class Losses(NamedTuple):
    """`total` is what is minimized, a scalar; `terms` each term that is on, without its factor.

    All are float32; the terms are detached. With no other term on,
    total = main + aux_weight * aux (paper, section 3.3).
    """

    total: Tensor
    terms: Mapping[str, Tensor]


@dataclass(frozen=True)
class Criterion:
    """Compares logits at 1/8 of the crop with labels (B, h, w), uint8, 255 = ignore.

    `loss_stride` 8 takes every eighth label, which lies exactly on the logits' grid when
    the crop's sides are 8n + 1 (the Caffe release's Interp layer); 1 upsamples the logits (semseg).
    `weights`: the classes' weights, float32 (classes,), or None for 1 each.
    `map_side`: the backbone's; where it has not one pixel for every eighth label, the labels are
    taken that are nearest to where upsampling puts the logits.
    """

    settings: LossSettings
    align_corners: bool
    weights: Tensor | None = None
    map_side: Callable[[int], int] = Backbone.map_side

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The terms that are on."""
        return loss_terms(self.settings, self.weights)

    def total_weights(self, labels: Tensor) -> Tensor:
        """Return each term's weight over these labels: (terms,) float32 on the labels' device."""
        target = self._target(labels)
        return torch.stack([term.weight(target) for term in self.terms])

    def __call__(self, logits: Logits, labels: Tensor, weights: Tensor | None = None) -> Losses:
        """Return the losses of one micro-batch.

        `weights` is the sum of `total_weights` over all micro-batches of the step, so that their
        losses add up to the batch's; None where this is the only one.
        """
        target = self._target(labels)
        if weights is None:
            weights = self.total_weights(labels)
        # At least a tiny number, so that a crop of nothing but void gives 0 and not NaN.
        weights = weights.clamp(min=1e-6)
        heads = {"main": self._scores(logits.main, target)}
        if logits.aux is not None:
            heads["aux"] = self._scores(logits.aux, target)
        total = torch.zeros((), device=weights.device)
        terms = {}
        for term, weight in zip(self.terms, weights, strict=True):
            if term.head in heads:
                value = term.sum(heads[term.head], target) / weight
                total = total + term.factor * value
            else:  # the network has no auxiliary head
                value = torch.zeros_like(total)
            terms[term.name] = value.detach()
        return Losses(total, terms)

    def _target(self, labels: Tensor) -> Tensor:
        if self.settings.loss_stride == 1:
            return labels.long()
        rows, columns = (self._grid(side, labels.device) for side in labels.shape[1:])
        return labels[:, rows][:, :, columns].long()

    def _grid(self, side: int, device: torch.device) -> slice | Tensor:
        """Return which labels of a row lie on the logits' grid."""
        count = self.map_side(side)
        if self.align_corners and count == Backbone.map_side(side):
            return slice(None, None, 8)
        first, last = 0.0, side - 1.0
        if not self.align_corners:
            first, last = side / count / 2 - 0.5, side - side / count / 2 - 0.5
        return torch.linspace(first, last, count, device=device).round().long()

    def _scores(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a head's logits in float32, which the softmax needs, at the target's size."""
        logits = logits.float()
        if self.settings.loss_stride == 1:
            size = (target.shape[1], target.shape[2])
            logits = upsample(logits, size, align_corners=self.align_corners)
        return logits


def class_weights(pixels: NDArray[np.int64], rule: str) -> NDArray[np.float32]:
    """Return a weight per class from the label histograms (n, classes + 1) of n pictures.

    "median": the median of the classes' frequencies over this class's, a frequency being its share
    of the pixels of the pictures it occurs in (Eigen and Fergus 2015; SegNet, section 4.1).
    "log": 1 / ln(1.02 + its share of all pixels) (ENet, section 5.1). Void does not count. A class
    that never occurs gets 1.
    """
    counts = pixels[:, :-1].astype(np.float64)
    occurs = counts.sum(0) > 0
    weights = np.ones(counts.shape[1])
    if rule == "log":
        weights[occurs] = 1 / np.log(1.02 + counts.sum(0) / counts.sum())[occurs]
    else:
        beside = ((counts > 0) * counts.sum(1, keepdims=True)).sum(0)
        frequency = counts.sum(0)[occurs] / beside[occurs]
        weights[occurs] = np.median(frequency) / frequency
    return weights.astype(np.float32)

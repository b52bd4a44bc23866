"""The training loss: cross entropy over valid pixels, main plus weighted auxiliary."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from psp.data.card import IGNORE
from psp.model.pspnet import Logits, upsample
from psp.settings.loss import LossSettings


class Losses(NamedTuple):
    """Scalars, float32. `total` = main + aux_weight * aux (paper, section 3.3)."""

    total: Tensor
    main: Tensor
    aux: Tensor


@dataclass(frozen=True)
class Criterion:
    """Compares logits at 1/8 of the crop with labels (B, crop, crop), uint8, 255 = ignore.

    `loss_stride` 8 takes every eighth label, which lies exactly on the logits' grid when
    crop = 8n + 1 (the Caffe release's Interp layer); 1 upsamples the logits (semseg).
    `ohem`: only pixels whose true class has a lower probability than this count (online hard
    example mining, Shrivastava et al. 2016), and of each picture at least the `ohem_keep` hardest
    share of its valid pixels; 0 counts all. Easy pixels still count in the denominator: a batch
    that is nearly learned moves the weights less, and the sum does not depend on how pictures are
    spread over micro-batches.
    `weights`: float32 (classes,), or None for 1 each.
    """

    settings: LossSettings
    align_corners: bool
    weights: Tensor | None = None

    def total_weight(self, labels: Tensor) -> Tensor:
        """Return the denominator of a loss over these labels: their valid pixels, or the sum of
        their classes' weights; float32, a scalar on the labels' device."""
        coarse = self._coarse(labels)
        if self.weights is None:
            return (coarse != IGNORE).sum().float()
        return self._pixel_weights(self.weights, coarse).sum()

    def __call__(self, logits: Logits, labels: Tensor, denominator: Tensor | None = None) -> Losses:
        """Return the losses of one micro-batch.

        `denominator` is the sum of `total_weight` over all micro-batches of the step, so that their
        losses add up to the batch's; None where this is the only one.
        """
        coarse = self._coarse(labels)
        total = self.total_weight(labels) if denominator is None else denominator
        # At least a tiny number, so that a crop of nothing but void gives 0 and not NaN.
        total = total.clamp(min=1e-6)
        main = self._sum(logits.main, coarse) / total
        aux = torch.zeros_like(main)
        if logits.aux is not None:
            aux = self._sum(logits.aux, coarse) / total
        return Losses(main + self.settings.aux_weight * aux, main.detach(), aux.detach())

    def _coarse(self, labels: Tensor) -> Tensor:
        stride = self.settings.loss_stride
        return labels[:, ::stride, ::stride].long()

    def _sum(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.float()  # the softmax needs float32
        if self.settings.loss_stride == 1:
            size = (labels.shape[1], labels.shape[2])
            logits = upsample(logits, size, align_corners=self.align_corners)
        # A flat list of pixels: for maps, torch has no deterministic kernel on CUDA.
        flat, target = logits.permute(0, 2, 3, 1).flatten(0, 2), labels.flatten()
        pixels = F.cross_entropy(flat, target, ignore_index=IGNORE, reduction="none")
        if self.settings.ohem > 0:
            with torch.no_grad():
                hard = self._hard(pixels.view(len(labels), -1), labels.flatten(1) != IGNORE)
            pixels = pixels * hard.flatten()
        if self.weights is not None:
            pixels = pixels * self._pixel_weights(self.weights, target)
        return pixels.sum()

    def _hard(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Return which of (B, n) pixel losses count; a void pixel's loss is 0, the easiest."""
        keep = (valid.sum(1) * self.settings.ohem_keep).ceil().long()  # (B,)
        order = pixels.sort(dim=1, descending=True).values
        last = order.gather(1, (keep - 1).clamp(min=0)[:, None])  # loss of the last one kept
        # The probability as a loss.
        limit = torch.full_like(last, -float(np.log(self.settings.ohem)))
        return (pixels > limit) | ((pixels >= last) & (keep > 0)[:, None] & valid)

    @staticmethod
    def _pixel_weights(weights: Tensor, labels: Tensor) -> Tensor:
        valid = labels != IGNORE
        return weights[labels.where(valid, 0)] * valid


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

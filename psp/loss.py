"""The training loss: cross entropy over valid pixels, main plus weighted auxiliary."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from psp.cards import IGNORE
from psp.model import Logits, upsample


class Losses(NamedTuple):
    """Scalars, float32. `total` = main + aux_weight * aux (paper, section 3.3)."""

    total: Tensor
    main: Tensor
    aux: Tensor


def losses(
    logits: Logits, labels: Tensor, *, aux_weight: float, loss_stride: int, align_corners: bool
) -> Losses:
    """Compare logits at 1/8 of the crop with labels (B, crop, crop), uint8, 255 = ignore.

    `loss_stride` 8 takes every eighth label, which lies exactly on the logits' grid when
    crop = 8n + 1 (the Caffe release's Interp layer); 1 upsamples the logits (semseg).
    """
    labels = labels[:, ::loss_stride, ::loss_stride].long()

    def one(scores: Tensor) -> Tensor:
        scores = scores.float()  # the softmax needs float32
        if loss_stride == 1:
            scores = upsample(
                scores, (labels.shape[1], labels.shape[2]), align_corners=align_corners
            )
        total = F.cross_entropy(scores, labels, ignore_index=IGNORE, reduction="sum")
        # At least 1, so that a crop of nothing but void gives 0 and not NaN.
        return total / (labels != IGNORE).sum().clamp(min=1)

    main = one(logits.main)
    aux = one(logits.aux) if logits.aux is not None else torch.zeros_like(main)
    return Losses(main + aux_weight * aux, main.detach(), aux.detach())

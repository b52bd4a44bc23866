"""Windows' logits to a part of the result: upsampled by two small matrices, and averaged."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psp.model.constants import on_device, taken

Lines = tuple[NDArray[np.float32], NDArray[np.float32]]  # weights of rows and of columns


def upsampled(logits: Tensor, down: Tensor, across: Tensor, *, probabilities: bool) -> Tensor:
    """Upsample logits (V, h, w, classes) by (H, h) and (W, w) matrices; the sum of their softmax.

    Without `probabilities`, the logits of the only view. Returns (H, W, classes).
    """
    views, h, w, classes = logits.shape
    rows = (down @ logits.view(views, h, w * classes)).view(views * len(down), w, classes)
    scores = across @ rows  # (V * H, W, classes)
    return _summed(scores, views, probabilities)


def selected(
    logits: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64], *, probabilities: bool
) -> Tensor:
    """Return `upsampled` for logits of the full size: some of their rows and columns, copied."""
    some = taken(logits.transpose(0, 1), rows)  # (H, V, w, classes)
    some = taken(some.transpose(0, 2), columns)  # (W, V, H, classes)
    scores = some.permute(1, 2, 0, 3).flatten(0, 1).clone(memory_format=torch.contiguous_format)
    return _summed(scores, len(logits), probabilities)


def _summed(scores: Tensor, views: int, probabilities: bool) -> Tensor:
    """Return the sum of the softmax of (views * H, W, classes) over the views."""
    if not probabilities:
        return scores
    scores = scores.softmax(2)
    if views == 1:
        return scores
    plain, mirrored = scores.chunk(2)
    return plain.add_(mirrored)


def mean(
    parts: Sequence[tuple[tuple[slice, slice], Tensor]], weights: Sequence[Lines], totals: Lines
) -> Tensor:
    """Average overlapping (rows, columns, classes) parts, each with the weights of its lines.

    Without `weights` all count the same. `totals` are the sums of the weights of each row and
    column: how many parts cover it, if there are none.
    """
    first = parts[0][1]
    if len(parts) == 1:
        return first
    total = first.new_zeros(len(totals[0]), len(totals[1]), first.shape[2])
    for (_, part), lines in zip(parts, weights, strict=bool(weights)):
        for axis, line in enumerate(lines):
            part.mul_(_along(axis, line, part))
    for covered, part in parts:
        total[covered] += part
    for axis, counts in enumerate(totals):
        if weights or counts.max() > 1:
            total /= _along(axis, counts, total)
    return total


def _along(axis: int, line: NDArray[np.float32], like: Tensor) -> Tensor:
    """Return the numbers of a line as a tensor that multiplies three axes along one."""
    shape = [-1 if dimension == axis else 1 for dimension in range(3)]
    return on_device(line, like.device).view(shape)

"""Bilinear resizing of one axis at a time, as weights: any part of a result from any part of a map.

A resized line is a sum of a few pixels each (`Taps`), so any rows and columns of a resized picture
can be computed without the rest of it, and are the same to the last bit whatever else is computed.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from psp.model.constants import on_device


class Taps(NamedTuple):
    """Pixel i of a resized line is the sum over k of weight[i, k] * line[source[i, k]]."""

    source: NDArray[np.int64]  # (wanted, K)
    weight: NDArray[np.float32]  # (wanted, K), rows sum to 1

    def part(self, pixels: slice) -> "Taps":
        """Return the taps of some pixels of the result."""
        return Taps(self.source[pixels], self.weight[pixels])

    def moved(self, offset: int) -> "Taps":
        """Return taps into a line that has `offset` more pixels in front."""
        return Taps(self.source + offset, self.weight)


def bilinear_taps(
    length: int, wanted: int, *, antialias: bool = False, align_corners: bool = False
) -> Taps:
    """Return how a line of `length` pixels becomes one of `wanted`, pixel centers at halves.

    Two pixels each, as cv2.resize and torch do it. With `antialias` a line that shrinks takes the
    triangle as wide as the step, and sees itself mirrored beyond its ends: MATLAB's imresize. With
    `align_corners` the first and last pixels lie on each other, as in F.interpolate.
    """
    if wanted == length:
        return Taps(np.arange(length)[:, None], np.ones((length, 1), np.float32))
    if align_corners:
        return _between_corners(length, wanted)
    step = length / wanted
    reach = step if antialias and step > 1 else 1.0
    center = (np.arange(wanted) + 0.5) * step - 0.5
    first = np.floor(center - reach).astype(np.int64) + 1
    index = first[:, None] + np.arange(int(np.ceil(2 * reach)))  # (wanted, K)
    weight = np.maximum(0, 1 - np.abs(center[:, None] - index) / reach)
    weight /= weight.sum(1, keepdims=True)
    index %= 2 * length  # ..., 1, 0 | 0, 1, ..., n - 1 | n - 1, ..., 0
    index = np.minimum(index, 2 * length - 1 - index)
    return Taps(index, weight.astype(np.float32))


def _between_corners(length: int, wanted: int) -> Taps:
    center = np.arange(wanted) * ((length - 1) / max(1, wanted - 1))
    first = np.minimum(center.astype(np.int64), max(0, length - 2))
    beyond = (center - first)[:, None]
    index = np.minimum(first[:, None] + np.arange(2), length - 1)
    return Taps(index, np.concatenate([1 - beyond, beyond], axis=1).astype(np.float32))


def resample(maps: Tensor, axis: int, taps: Taps) -> Tensor:
    """Apply taps along an axis; float32."""
    first, last = int(taps.source[0, 0]), int(taps.source[-1, 0])
    if taps.source.shape[1] == 1 and last - first == len(taps.source) - 1:
        # The same size, and not mirrored: the pixels as they are, one after the other.
        return maps.narrow(axis, first, len(taps.source)).float()
    source = on_device(taps.source, maps.device)
    weight = on_device(taps.weight, maps.device)
    shape = [-1 if dimension == axis else 1 for dimension in range(maps.ndim)]
    total = maps.index_select(axis, source[:, 0]).float() * weight[:, 0].view(shape)
    for k in range(1, source.shape[1]):
        pixels = maps.index_select(axis, source[:, k]).float()
        total.addcmul_(pixels, weight[:, k].view(shape))
    return total


@lru_cache(64)
def upsampling(length: int, wanted: int, *, align_corners: bool, device: torch.device) -> Tensor:
    """Return the float32 (wanted, length) matrix that upsamples a line as F.interpolate does."""
    identity = torch.eye(length, dtype=torch.float64)[None]  # (1, length, length)
    lines = F.interpolate(identity, wanted, mode="linear", align_corners=align_corners)
    return lines[0].T.float().contiguous().to(device)

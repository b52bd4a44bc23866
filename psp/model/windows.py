"""A picture at one scale and its windows: sizes, padding, and where the windows lie.

Two procedures, from the authors' two releases (`psp.model.procedure.PROCEDURES`):
torch   (semseg tool/test.py) the long side becomes round(scale * base); a picture smaller than a
        window lies in the middle of the padding.
caffe   (PSPNet evaluation/*.m) the long side becomes round(scale * base) + 1; the padding is below
        and on the right; what shrinks is smoothed, as by MATLAB's imresize.
In both, windows start every ceil(2/3 crop) pixels and the last one is moved back to the border.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from psp.model.resample import Taps, bilinear_taps


@dataclass(frozen=True)
class Axis:
    """One axis of a picture at one scale; positions on it count from the padding's begin."""

    length: int  # of the picture at this scale
    before: int  # padding in front of it
    starts: tuple[int, ...]  # of the windows
    crop: int
    into: Taps  # from the picture as it is to this scale, without the padding
    back: Taps  # from this scale, with the padding, to the picture as it is

    def inside(self, start: int) -> slice:
        """Return which pixels of the picture at this scale a window has."""
        first = start - self.before
        return slice(max(0, first), min(self.length, first + self.crop))

    def needed(self, pixels: slice) -> tuple[NDArray[np.int64], Taps]:
        """Return the positions that some pixels of the result come from, and how, counted on them.

        The positions are sorted.
        """
        positions, inverse = np.unique(self.back.source[pixels], return_inverse=True)
        local = inverse.reshape(-1, self.back.source.shape[1])
        return positions, Taps(local, self.back.weight[pixels])

    def covered(self, positions: NDArray[np.int64], start: int) -> slice:
        """Return which of some sorted positions a window covers."""
        first, stop = np.searchsorted(positions, (start, start + self.crop))
        return slice(int(first), int(stop))

    def covers(self, positions: NDArray[np.int64], start: int) -> bool:
        """Whether a window covers any of some sorted positions."""
        if positions[-1] < start or positions[0] >= start + self.crop:
            return False  # the usual answer, cheaply
        part = self.covered(positions, start)
        return bool(part.start < part.stop)

    def counts(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return by how many windows each position is covered."""
        offsets = positions[:, None] - np.array(self.starts)
        covering = (offsets >= 0) & (offsets < self.crop)
        counts: NDArray[np.float32] = covering.sum(1, dtype=np.float32)
        return counts


class ScaledView(NamedTuple):
    """A picture at one scale."""

    rows: Axis
    columns: Axis


class Window(NamedTuple):
    """A window of a view, and the first and last row of the result that it is needed for."""

    first: int
    last: int
    view: int
    top: int
    left: int


def scaled_view(
    size: tuple[int, int], scale: float, *, crop: int, base_size: int | None, procedure: str
) -> ScaledView:
    """Return a picture of `size` (H, W) at a scale; `base_size` None leaves scale 1 as it is."""
    caffe = procedure == "caffe"
    axes = []
    for before, after in zip(size, scaled_size(size, scale, base_size, procedure), strict=True):
        padding = max(crop - after, 0)
        front = 0 if caffe else padding // 2
        into = bilinear_taps(before, after, antialias=caffe)
        back = bilinear_taps(after, before, antialias=caffe).moved(front)
        axes.append(Axis(after, front, tuple(starts(after + padding, crop)), crop, into, back))
    return ScaledView(*axes)


def scaled_size(
    size: tuple[int, int], scale: float, base_size: int | None, procedure: str
) -> tuple[int, int]:
    """Return the size at a scale: the long side by the procedure's rule, the other to fit."""
    longest = max(size)
    long = max(1, round(scale * (base_size or longest)))
    long += procedure == "caffe"
    height, width = (
        long if side == longest else max(1, round(long / longest * side)) for side in size
    )
    return height, width


def starts(length: int, crop: int) -> Iterator[int]:
    """Yield where windows start along an axis: stride ceil(2/3 crop), the last at the border."""
    stride = math.ceil(crop * 2 / 3)
    for number in range(math.ceil((length - crop) / stride) + 1):
        yield min(number * stride, length - crop)


def windows(views: Sequence[ScaledView], columns: slice) -> list[Window]:
    """Return the windows of all views that some columns of the result need, topmost first."""
    needed = []
    for index, (down, across) in enumerate(views):
        low, high = down.back.source.min(1), down.back.source.max(1)  # (H,) each
        across_needed, _ = across.needed(columns)
        lefts = [left for left in across.starts if across.covers(across_needed, left)]
        for top in down.starts:
            rows = np.flatnonzero((high >= top) & (low < top + down.crop))
            if len(rows):
                first, last = int(rows[0]), int(rows[-1])
                needed += [Window(first, last, index, top, left) for left in lefts]
    return sorted(needed)

"""A picture at one scale and its windows: sizes, padding, and where the windows lie.

Sizes and padding are the named procedure's (`psp.model.procedures`). In all of them windows start
every so many pixels, and the last one is moved back to the border.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from psp.errors import PictureError
from psp.model.procedure import Procedure
from psp.model.procedures.registry import find_rules
from psp.model.resample import Taps, bilinear_taps
from psp.settings.resize import Target

# Pixels of the largest picture that goes through the network as a whole: four times Cityscapes'.
MOST_WHOLE = 1 << 23
# Share of a window along which its weight falls, half of what two windows share as a rule: a longer
# one leaves the average of both to fewer pixels, and scored less.
RAMP = 1 / 6
LARGEST = 1 << 17  # side of a picture at a scale, where its short side is what is asked for


@dataclass(frozen=True)
class Axis:
    """One axis of a picture at one scale; positions on it count from the padding's begin.

    On a mirrored axis they count from the other end of the picture. Where a window's logits become
    the picture's own size in one step, `side` pixels go into the network, and positions count the
    `crop` pixels that come out; elsewhere the two are the same.
    """

    length: int  # of the picture at this scale
    before: int  # padding in front of it
    starts: tuple[int, ...]  # of the windows
    crop: int
    stride: int
    into: Taps  # from the picture as it is to this scale, without the padding
    back: Taps  # from this scale, with the padding, to the picture as it is
    side: int
    taper: bool = False  # windows count less towards the next ones

    @property
    def overlap(self) -> float:
        """How many windows meet at a position, as a rule."""
        usual = self.stride == math.ceil(self.crop * 2 / 3)
        return 1.5 if usual else self.crop / self.stride

    def inside(self, start: int) -> slice:
        """Return which pixels of the picture at this scale a window has."""
        first = start - self.before
        return slice(max(0, first), min(self.length, first + self.side))

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

    def weights(self, positions: NDArray[np.int64], start: int) -> NDArray[np.float32]:
        """Return how much a window counts at some positions, float32 (positions,): 0 outside.

        Tapered, that is 1 in its middle and falls evenly to its borders, where it is not yet 0. It
        does not fall towards a border of the picture: no other window continues there.
        """
        inside = positions - start
        weights = ((inside >= 0) & (inside < self.crop)).astype(np.float32)
        if self.taper:
            ramp = self.crop * RAMP
            if start > 0:
                weights = np.minimum(weights, np.maximum(0, inside + 1) / ramp)
            if start < self.starts[-1]:
                weights = np.minimum(weights, np.maximum(0, self.crop - inside) / ramp)
        return weights.astype(np.float32)

    def totals(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the sum of all windows' weights: untapered, how many cover each position."""
        total = np.zeros(len(positions), np.float32)
        for start in self.starts:
            total += self.weights(positions, start)
        return total


class ScaledView(NamedTuple):
    """A picture at one scale, as it is or mirrored."""

    rows: Axis
    columns: Axis
    mirrored: bool = False

    @property
    def sides(self) -> tuple[int, int]:
        """The height and width of its windows as they go into the network."""
        return self.rows.side, self.columns.side


class Window(NamedTuple):
    """A window of a view, and the first and last row of the result that it is needed for."""

    first: int
    last: int
    view: int
    top: int
    left: int


def scaled_views(
    size: tuple[int, int], procedure: Procedure, *, align_corners: bool = True
) -> list[ScaledView]:
    """Return a picture of `size` (H, W) at all scales of a procedure, and mirrored if it says so.

    Raises PictureError for a picture that is too large for it.
    """
    mirrored = (False, True)[: 1 + (procedure.flip and procedure.rules.mirrors == "picture")]
    views = [scaled_view(size, scale, procedure, align_corners) for scale in procedure.scales]
    return [_mirrored(view) if mirror else view for view in views for mirror in mirrored]


def scaled_view(
    size: tuple[int, int], scale: float, procedure: Procedure, align_corners: bool
) -> ScaledView:
    """Return a picture of `size` (H, W) at a scale. Raises PictureError if it is too large."""
    after = procedure.rules.size(size, scale, procedure.target(max(size)))
    if max(after) > LARGEST and procedure.resize is not None:
        raise PictureError(f"it would become {after[1]}x{after[0]} pixels. Use --resize long:N")
    if procedure.window is None and after[0] * after[1] > MOST_WHOLE:
        raise PictureError(
            f"it has {after[1]}x{after[0]} pixels at scale {scale:g}, and a whole picture may have "
            f"{MOST_WHOLE / 1e6:.1f} million. Use --windows square, or --resize"
        )
    window = procedure.window or (None, None)
    steps = procedure.steps or (None, None)
    rows, columns = (
        _axis(size[axis], after[axis], window[1 - axis], steps[1 - axis], procedure, align_corners)
        for axis in (0, 1)
    )
    return ScaledView(rows, columns)


def _axis(
    own: int, after: int, window: int | None, step: int | None, procedure: Procedure, corners: bool
) -> Axis:
    """Return an axis whose own length is `own`, and `after` at this scale."""
    rules = procedure.rules
    taper = procedure.blend == "taper"
    if rules.direct and window is None:
        same = bilinear_taps(own, own)
        return Axis(after, 0, (0,), own, own, bilinear_taps(after, after), same, after, taper)
    padded = procedure.windows == "square" or corners
    crop = window or (-(-(after - 1) // 8) * 8 + 1 if corners else after)
    if rules.padding == "none" or not padded:
        crop = min(crop, after)
    padding = max(crop - after, 0)
    front = padding // 2 if rules.padding == "around" else 0
    stride = min(step or math.ceil(crop * 2 / 3), crop)
    before = own if rules.resized is None else after  # else its pixels are resized already
    into = bilinear_taps(before, after, antialias=rules.antialias)
    back = bilinear_taps(
        after,
        own,
        antialias=rules.antialias,
        align_corners=corners and rules.averages == "logits",
    ).moved(front)
    places = tuple(starts(after + padding, crop, stride))
    return Axis(after, front, places, crop, stride, into, back, crop, taper)


def _mirrored(view: ScaledView) -> ScaledView:
    """Return a view of the mirrored picture, whose positions count from its right border."""
    columns = view.columns
    source = columns.length - 1 - columns.back.source
    return ScaledView(view.rows, replace(columns, back=Taps(source, columns.back.weight)), True)


def scaled_size(
    size: tuple[int, int], scale: float, base_size: int | None, procedure: str
) -> tuple[int, int]:
    """Return the size (H, W) at a scale of a procedure; `base_size` None: of its own size."""
    return find_rules(procedure).size(size, scale, Target(long=base_size))


def starts(length: int, crop: int, stride: int | None = None) -> Iterator[int]:
    """Yield where windows start along an axis: stride ceil(2/3 crop), the last at the border."""
    stride = stride or math.ceil(crop * 2 / 3)
    for number in range(math.ceil((length - crop) / stride) + 1):
        yield min(number * stride, length - crop)


def windows(views: Sequence[ScaledView], columns: slice) -> list[Window]:
    """Return the windows of all views that some columns of the result need, topmost first."""
    needed = []
    for index, view in enumerate(views):
        down, across = view.rows, view.columns
        low, high = down.back.source.min(1), down.back.source.max(1)  # (H,) each
        across_needed, _ = across.needed(columns)
        lefts = [left for left in across.starts if across.covers(across_needed, left)]
        for top in down.starts:
            rows = np.flatnonzero((high >= top) & (low < top + down.crop))
            if len(rows):
                first, last = int(rows[0]), int(rows[-1])
                needed += [Window(first, last, index, top, left) for left in lefts]
    return sorted(needed)


def pieces(whole: slice, size: int) -> Iterator[slice]:
    """Cut a range into pieces of almost equal length, `size` at most."""
    length = whole.stop - whole.start
    count = -(-length // size)
    for index in range(count):
        first, stop = (length * n // count for n in (index, index + 1))
        yield slice(whole.start + first, whole.start + stop)

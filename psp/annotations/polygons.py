"""Outlines, and the pixels that they cover by the rules of the tools that drew them.

Tools differ at the rim: `CENTERS` takes a pixel whose center is inside (to a tenth of a pixel, as
pycocotools, for COCO, CVAT and Label Studio), `EDGES` also those on the outline (as Pillow, for
labelme), `WHOLE` those that OpenCV fills when coordinates are cut to whole numbers (Ultralytics).
A ring that crosses itself is filled by the even-odd rule in all three. Only the bounding box is
worked on.
"""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from psp.annotations.numbers import Points

CENTERS = "centers"
EDGES = "edges"
WHOLE = "whole"

_CROSSINGS = 1 << 22  # at a time: some 100 MB

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """What lies in any of the `rings` and in none of the `holes`; rings are closed by themselves.

    Rings are (n, 2) arrays of x and y as `numbers.points` returns them.
    """

    rings: tuple[Points, ...]
    holes: tuple[Points, ...] = ()
    fill: str = CENTERS

    def cover(self, height: int, width: int) -> tuple[int, int, Mask]:
        """See `Region`. Raises ValueError if all of it lies outside of the picture."""
        fill = _FILLS[self.fill]
        _check_near(self.rings, height, width)
        box = _box(self.rings, height, width)
        mask = np.zeros(box.shape, bool)
        for ring in self.rings:
            mask |= fill(ring, box)
        for hole in self.holes:
            mask &= ~fill(hole, box)
        return box.top, box.left, mask


@dataclass(frozen=True, slots=True, eq=False)
class RelativePolygon:
    """A polygon of one ring in parts of the picture's size: (1, 1) is the lower right corner."""

    ring: Points
    fill: str = CENTERS

    def cover(self, height: int, width: int) -> tuple[int, int, Mask]:
        """See `Region`. Raises ValueError if all of it lies outside of the picture."""
        return Polygon((self.ring * (width, height),), fill=self.fill).cover(height, width)


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line of some pixels' width from point to point, drawn as Pillow does."""

    points: Points
    width: int

    def cover(self, height: int, width: int) -> tuple[int, int, Mask]:
        """See `Region`. Raises ValueError if all of it lies outside of the picture."""
        _check_near((self.points,), height, width)
        box = _box((self.points,), height, width, self.width)
        corners = _cut(self.points, box)
        return box.top, box.left, _draw(box, lambda d: d.line(corners, fill=1, width=self.width))


@dataclass(frozen=True, slots=True, eq=False)
class Disk:
    """A disk around a point, drawn as Pillow draws an ellipse into its bounding square."""

    x: float
    y: float
    radius: float

    def cover(self, height: int, width: int) -> tuple[int, int, Mask]:
        """See `Region`. Raises ValueError if all of it lies outside of the picture."""
        low = (self.x - self.radius, self.y - self.radius)
        corners = np.array([low, (self.x + self.radius, self.y + self.radius)])
        box = _box((corners,), height, width, 1)
        square = _cut(corners, box)
        return box.top, box.left, _draw(box, lambda d: d.ellipse(square, fill=1, outline=1))


@dataclass(frozen=True, slots=True, eq=False)
class Ellipse:
    """An ellipse, turned clockwise by degrees: a pixel belongs to it if its center does."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    rotation: float = 0.0

    def cover(self, height: int, width: int) -> tuple[int, int, Mask]:
        """See `Region`. Raises ValueError for no radius, and if it lies outside."""
        if not (self.radius_x > 0 and self.radius_y > 0):
            raise ValueError(f"an ellipse with the radii {self.radius_x:g} and {self.radius_y:g}")
        cos, sin = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        reach = np.array(
            [
                math.hypot(self.radius_x * cos, self.radius_y * sin),
                math.hypot(self.radius_x * sin, self.radius_y * cos),
            ]
        )
        center = np.array([self.x, self.y])
        box = _box((np.array([center - reach, center + reach]),), height, width)
        down = (np.arange(box.shape[0]) + box.top + 0.5 - self.y)[:, None]
        right = (np.arange(box.shape[1]) + box.left + 0.5 - self.x)[None]
        along = (right * cos + down * sin) / self.radius_x
        across = (down * cos - right * sin) / self.radius_y
        return box.top, box.left, along**2 + across**2 <= 1


def rectangle(
    left: float,
    top: float,
    right: float,
    bottom: float,
    rotation: float = 0.0,
    about: tuple[float, float] | None = None,
) -> Points:
    """Return the ring of a rectangle, turned clockwise by degrees about a point, or its center."""
    x, y = about or ((left + right) / 2, (top + bottom) / 2)
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) - (x, y)
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    turned: Points = corners @ np.array([[cos, sin], [-sin, cos]]) + (x, y)
    return turned


@dataclass(frozen=True, slots=True)
class _Box:
    """A part of the picture; `shape` is (height, width)."""

    top: int
    left: int
    shape: tuple[int, int]


def _check_near(rings: Iterable[Points], height: int, width: int) -> None:
    """Raise ValueError for a corner that is farther away from the picture than the picture's size.

    Tools let a shape reach over the edge, but such a one was drawn on another, larger picture.
    """
    side = np.array([width, height])
    for ring in rings:
        far = ((ring < -side) | (ring > 2 * side)).any(axis=1)
        if far.any():
            x, y = ring[far][0]
            raise ValueError(
                f"its point ({x:g}, {y:g}) is far outside of the picture ({width}x{height}): it "
                "belongs to another one, or to a larger copy"
            )


def _box(rings: Iterable[Points], height: int, width: int, margin: int = 0) -> _Box:
    """Return the part of a picture that rings can cover. Raises ValueError if there is none."""
    low = np.min([ring.min(axis=0) for ring in rings], axis=0) - margin
    high = np.max([ring.max(axis=0) for ring in rings], axis=0) + margin
    if high.min() < 0 or low[0] > width or low[1] > height:
        raise ValueError(f"it lies outside of the picture ({width}x{height})")
    # One more on either side: Pillow and OpenCV cut to whole numbers, and draw on the last.
    left, top = (max(0, math.floor(value) - 1) for value in low.tolist())
    right = min(width, math.floor(high[0]) + 2)
    bottom = min(height, math.floor(high[1]) + 2)
    return _Box(top, left, (max(0, bottom - top), max(0, right - left)))


def _cut(ring: Points, box: _Box) -> list[tuple[int, int]]:
    """Return points cut to whole numbers, toward zero as Pillow does, seen from the box."""
    whole = np.trunc(ring).astype(np.int64) - (box.left, box.top)
    return [(x, y) for x, y in whole.tolist()]


def _draw(box: _Box, draw: Callable[[ImageDraw.ImageDraw], None]) -> Mask:
    """Return what is drawn on a black picture of the box's size."""
    if 0 in box.shape:
        return np.zeros(box.shape, bool)
    picture = Image.new("L", (box.shape[1], box.shape[0]))
    draw(ImageDraw.Draw(picture))
    return np.asarray(picture).astype(np.bool_)


def _fill_edges(ring: Points, box: _Box) -> Mask:
    corners = _cut(ring, box)
    return _draw(box, lambda d: d.polygon(corners, fill=1, outline=1))


def _fill_whole(ring: Points, box: _Box) -> Mask:
    mask = np.zeros(box.shape, np.uint8)
    if mask.size:
        cv2.fillPoly(mask, [np.array(_cut(ring, box), np.int32)], [1])
    return mask.astype(np.bool_)


def _fill_centers(ring: Points, box: _Box) -> Mask:
    """Count, from the top, how often the outline is crossed on each column's line of centers.

    As in pycocotools, corners lie on fifths of a pixel (here: units), and so do crossings.
    """
    rows, columns = box.shape
    start = np.trunc(5 * ring + 0.5) - (5 * box.left, 5 * box.top)
    end = np.roll(start, -1, axis=0)
    low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    # A column's centers lie between its units 2 and 3: both must be on the edge.
    first = np.clip(np.ceil((low - 2) / 5), 0, columns).astype(np.int64)
    counts = np.clip(np.floor((high - 3) / 5) + 1, 0, columns).astype(np.int64) - first
    counts = np.maximum(counts, 0)
    crossed = np.zeros((rows + 1, columns), np.uint8)
    groups = np.flatnonzero(np.diff(np.cumsum(counts) // _CROSSINGS)) + 1
    for edges in np.split(np.arange(len(ring)), groups):
        edge = np.repeat(edges, counts[edges])
        before = np.cumsum(counts[edges]) - counts[edges]
        column = first[edge] + np.arange(len(edge)) - np.repeat(before, counts[edges])
        unit = _crossing(start[edge], end[edge], 5.0 * column + 2)
        row = np.clip(np.ceil((unit - 2) / 5), 0, rows).astype(np.int64)
        np.add.at(crossed, (row, column), np.uint8(1))  # modulo 256, so that odd stays odd
    crossed &= 1
    for above, row_below in itertools.pairwise(crossed):  # 20 times as fast as accumulate()
        row_below ^= above
    return crossed[:rows].view(np.bool_)


def _crossing(start: Points, end: Points, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the y at which edges go from x to x + 1, all in units: the upper one of two."""
    across, down = (end - start).T
    flat = np.abs(across) >= np.abs(down)
    # A flat edge has one y for each x, rounded; a steep one has one x for each y.
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = down / across
        left = np.where((across < 0)[:, None], end, start)
        here, there = (np.floor(left[:, 1] + slope * (at - left[:, 0]) + 0.5) for at in (x, x + 1))
        upper = np.where((down < 0)[:, None], end, start)
        steps = (x + 0.5 - upper[:, 0]) * (down / across)
        rising = (across > 0) == (down > 0)
        steps = np.where(rising, np.ceil(steps), np.floor(steps) + 1)
    y: NDArray[np.float64] = np.where(flat, np.minimum(here, there), upper[:, 1] + steps - 1)
    return y


_FILLS: dict[str, Callable[[Points, _Box], Mask]] = {
    CENTERS: _fill_centers,
    EDGES: _fill_edges,
    WHOLE: _fill_whole,
}

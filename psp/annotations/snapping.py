"""Masks that were saved as JPEG: back to the few colors that they were painted in.

Inside of a region JPEG keeps a color nearly exactly; along the borders it mixes. So the colors are
those of even areas, in all masks together, and every pixel takes the nearest of those
that stand near it: a mix of two classes never becomes a third whose color lies between.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.annotations.scan import Scan
from psp.errors import PspError
from psp.files import read_bytes
from psp.images.pictures import decode_image

_APART = 24  # smallest distance of two classes' colors, in the channel that differs most
_NEAR = 8  # a region's color differs by less from its class's
_MOST = 64  # colors
_ROUND = 3
_FAR = 0.1  # share of the pixels that may lie far from all colors
_STRANGE = 40  # that far from all colors is no ringing


def find_colors(scans: Sequence[Scan]) -> list[int]:
    """Return the colors that even areas of JPEG masks cluster around, the most frequent first.

    Raises PspError, with the reason, where they do not cluster cleanly.
    """
    total: Counter[int] = Counter()
    for scan in scans:
        total.update(scan.counts)
    pixels = sum(total.values())
    centers: list[int] = []
    for color, count in total.most_common():
        near = [c for c in centers if _distance(c, color) < _APART]
        if any(_distance(c, color) <= _NEAR for c in near):
            continue
        if near and count * 500 < pixels:  # a few pixels of ringing
            continue
        if near:
            raise PspError(
                _refusal(
                    scans[0].path,
                    f"{_shown(near[0])} and {_shown(color)} are so "
                    "near to each other that JPEG's noise mixes them",
                )
            )
        centers.append(color)
    if len(centers) > _MOST:
        raise PspError(_refusal(scans[0].path, f"more than {_MOST} colors fill even areas"))
    for scan in scans:
        _check_clusters(scan, centers)
    if len(centers) < 2:
        raise PspError(_refusal(scans[0].path, "they do not cluster around two colors or more"))
    return centers


def _check_clusters(scan: Scan, centers: Sequence[int]) -> None:
    """Raise PspError if two colors of one file would become one: ids 0, 1, 2, say."""
    blocks = sum(scan.blocks.values())
    for center in centers:
        near = [
            c
            for c, n in scan.blocks.items()
            if _distance(c, center) <= _NEAR and n >= 4 and n * 20 >= blocks
        ]
        if len(near) > 1:
            shown = " and ".join(map(_shown, sorted(near)[:2]))
            raise PspError(
                _refusal(
                    scan.path, f"{shown} are so near to each other that JPEG's noise mixes them"
                )
            )


def _refusal(path: Path, reason: str) -> str:
    return f"{path}: a mask saved as JPEG, which changes values: {reason}. Save the masks as PNG"


def _shown(color: int) -> str:
    red, green, blue = color >> 16, color >> 8 & 255, color & 255
    return f"gray {red}" if red == green == blue else f"#{color:06x}"


def _distance(one: int, other: int) -> int:
    return max(abs((one >> shift & 255) - (other >> shift & 255)) for shift in (0, 8, 16))


def rounded(color: int) -> int:
    """Return a color whose channels are 0, 64, 128, 192 or 255 where JPEG came close to that.

    Palettes are made of those. Classes are far enough from each other to stay apart.
    """
    channels = [color >> shift & 255 for shift in (16, 8, 0)]
    for index, level in enumerate(channels):
        if level <= _NEAR or level >= 255 - _NEAR:
            channels[index] = 0 if level <= _NEAR else 255
        elif abs(level - 64 * round(level / 64)) <= _ROUND:
            channels[index] = 64 * round(level / 64)
    red, green, blue = channels
    return (red << 16) | (green << 8) | blue


def snap(
    image: NDArray[np.uint8], colors: Sequence[int]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return each pixel's color, (H, W), of those given, and how far it was moved, uint8 (H, W).

    `image` is uint8 (H, W, 3). Distances are those of the channel that differs most.
    """
    best = np.full(image.shape[:2], 1000, np.uint16)
    chosen = np.zeros(image.shape[:2], np.int32)
    nearest = np.full(image.shape[:2], 255, np.uint8)
    square = np.ones((7, 7), np.uint8)
    planes = [np.ascontiguousarray(image[..., channel]) for channel in range(3)]
    for color in colors:
        levels = (color >> 16, color >> 8 & 255, color & 255)
        parts = [cv2.absdiff(p, np.full_like(p, v)) for p, v in zip(planes, levels, strict=True)]
        distance = cv2.max(cv2.max(parts[0], parts[1]), parts[2])
        nearest = np.asarray(cv2.min(nearest, distance), np.uint8)
        cost = distance.astype(np.uint16)
        if len(colors) > 2:  # between two colors a mix is nearer to one of them
            core = (distance <= _NEAR).astype(np.uint8)
            solid = cv2.morphologyEx(core, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
            cost[cv2.dilate(solid, square) == 0] += 256
        better = cost < best
        best[better] = cost[better]
        chosen[better] = color
    red, green, blue = chosen >> 16, chosen >> 8 & 255, chosen & 255
    moved = np.abs(image.astype(np.int16) - np.stack([red, green, blue], axis=2)).max(axis=2)
    return chosen, np.asarray(np.where(best >= 256, nearest, moved), np.uint8)


@dataclass(frozen=True)
class Moved:
    """What snapping does to a file: of its `pixels`, how many move, and by how much at most.

    `far` are far from all colors; `strange` are those of them in even areas, whose class has a
    color that was not found. `colors` are those that its pixels get.
    """

    pixels: int
    moved: int
    furthest: int
    far: int
    strange: int
    colors: frozenset[int]


def measure(colors: Sequence[int], path: Path) -> Moved:
    """Return what snapping does to a file."""
    image = decode_image(read_bytes(path), str(path))
    chosen, moved = snap(image, colors)
    apart = min((_distance(a, b) for a in colors for b in colors if a != b), default=256)
    far = moved > min(apart / 2, _STRANGE)
    square = np.ones((3, 3), np.uint8)
    spread = (cv2.dilate(image, square) - cv2.erode(image, square)).max(axis=2)
    strange = int(np.count_nonzero(far & (spread <= 2 * _NEAR)))
    furthest = int(moved.max(initial=0))
    got = frozenset(np.unique(chosen).tolist())
    return Moved(moved.size, int((moved > 0).sum()), furthest, int(far.sum()), strange, got)


def make_measure(colors: Sequence[int]) -> Callable[[Path], Moved]:
    """Return the function of a worker process."""
    return partial(measure, colors)


def refuse_far(path: Path, found: Moved) -> None:
    """Raise PspError if too many pixels lie far from all colors."""
    if found.strange > max(8, found.pixels // 5000) or found.far > _FAR * found.pixels:
        far = f"{found.far} of {found.pixels} pixels are far from the colors of its larger areas"
        raise PspError(_refusal(path, far))

"""Random crops for training: one warp for the image and one for the label.

Scaling, rotation, mirroring and cropping are composed into one affine matrix, and pixels are
sampled once, at the size of the crop. The order is semseg's (scale, rotate, mirror, crop, each on
the scaled canvas); the ranges are the paper's, section 5.1.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.data.card import IGNORE
from psp.data.photometric import Distortion, distort, draw
from psp.data.warp import warp_picture
from psp.settings.augmentation import Augmentation
from psp.settings.size import Size

_NEAREST = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
PLACES = 10  # of a crop that are tried, so that no class has too large a share


@dataclass(frozen=True)
class Choice:
    """The random choices for one crop: its position on the scaled canvas, and its augmentation."""

    scale: float
    angle: float  # degrees
    flip: bool
    blur: bool
    top: int  # of the crop on the scaled canvas; negative if the canvas is smaller
    left: int
    distortion: Distortion | None = None


def choose(
    settings: Augmentation,
    height: int,
    width: int,
    rng: np.random.Generator,
    seen: tuple[int, int] | None = None,
) -> Choice:
    """Draw the choices for a picture of that size, always with the same number of draws.

    `seen` is the row and column of a pixel that must be in the crop, and not at its very border.
    """
    scale, rotated, angle, blur, flip, down, right = rng.random(7)
    scale = (
        settings.scale_min + (settings.scale_max - settings.scale_min) * scale
    )  # uniform, as semseg
    scale *= settings.resized.factor(height, width)
    top, left = (
        _offset(round(side * scale), crop, position, settings.placed)
        for side, crop, position in zip(
            (height, width), settings.size.shape, (down, right), strict=True
        )
    )
    turned = rotated < settings.rotate_probability
    choice = Choice(
        scale=scale,
        angle=settings.rotate * (2 * angle - 1) if turned else 0.0,
        flip=bool(flip < settings.flip),
        blur=bool(blur < settings.blur),
        top=top,
        left=left,
        distortion=draw(settings, rng),
    )
    return choice if seen is None else _onto(choice, settings, seen, (height, width), (down, right))


def _onto(
    choice: Choice,
    settings: Augmentation,
    seen: tuple[int, int],
    sides: tuple[int, int],
    positions: tuple[float, float],
) -> Choice:
    """Return a choice whose crop has a pixel, anywhere but in the outer eighths where that can be.

    A turn that would move the pixel out of the canvas is left out.
    """
    canvas = [round(side * choice.scale) for side in sides]
    point = _on_canvas(replace(choice, top=0, left=0), seen, sides)
    if not all(0 <= place < side for place, side in zip(point, canvas, strict=True)):
        choice = replace(choice, angle=0.0)
        point = _on_canvas(replace(choice, top=0, left=0), seen, sides)
    offsets = []
    for place, side, length, position in zip(
        point, canvas, settings.size.shape, positions, strict=True
    ):
        if side < length:
            offsets.append(_offset(side, length, position, settings.placed))
            continue
        margin = length // 8
        low, high = (
            min(max(0, math.floor(place) - within), side - length)
            for within in (length - 1 - margin, margin)
        )
        offsets.append(low + int(position * (high - low + 1)))
    return replace(choice, top=offsets[0], left=offsets[1])


def _on_canvas(
    choice: Choice, pixel: tuple[int, int], sides: tuple[int, int]
) -> tuple[float, float]:
    """Return where a pixel's center lies: its row and column on the canvas, in points."""
    to_picture = np.vstack([matrix(choice, *sides), [0, 0, 1]])
    x, y, _ = np.linalg.solve(to_picture, (pixel[1], pixel[0], 1))
    return y + 0.5, x + 0.5


def limited(
    choice: Choice, settings: Augmentation, label: NDArray[np.uint8], rng: np.random.Generator
) -> Choice:
    """Return a choice whose crop has at least two classes, and none over the largest share.

    That share is `class_limit`, of the crop's valid pixels; 1 leaves the choice as it is. Other
    places are drawn ten times at most, and the last is taken as it is: mmsegmentation's RandomCrop
    with cat_max_ratio. The label is (H, W).
    """
    if settings.class_limit >= 1:
        return choice
    height, width = label.shape
    sides = round(height * choice.scale), round(width * choice.scale)
    for _ in range(PLACES):
        target = _warped(label, matrix(choice, height, width), settings.size)
        counts = np.bincount(target.ravel(), minlength=IGNORE + 1)[:IGNORE]
        if (counts > 0).sum() > 1 and counts.max() < settings.class_limit * counts.sum():
            break
        top, left = (
            _offset(side, crop, position, settings.placed)
            for side, crop, position in zip(sides, settings.size.shape, rng.random(2), strict=True)
        )
        choice = replace(choice, top=top, left=left)
    return choice


def _offset(side: int, crop: int, position: float, placed: str) -> int:
    """Return where the crop starts: anywhere inside the canvas; a smaller one is `placed`."""
    if side < crop:
        return -((crop - side) // 2) if placed == "center" else 0
    return int(position * (side - crop + 1))


@lru_cache(maxsize=1)  # the crop, and what of the picture it needs, follow from the same one
def matrix(choice: Choice, height: int, width: int) -> NDArray[np.float64]:
    """Return the (2, 3) matrix that maps the crop's pixel indices (x, y) to the picture's.

    Pixel centers are at halves: index i is the point i + 0.5. The picture is height x width.
    """
    canvas_h, canvas_w = round(height * choice.scale), round(width * choice.scale)
    center = _shift(canvas_w / 2, canvas_h / 2)
    turn = math.radians(choice.angle)
    cos, sin = math.cos(turn), math.sin(turn)
    steps = [
        _shift(0.5 + choice.left, 0.5 + choice.top),  # from crop indices to canvas points
        np.array([[-1, 0, canvas_w], [0, 1, 0], [0, 0, 1]]) if choice.flip else np.eye(3),
        center
        @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        @ _shift(-canvas_w / 2, -canvas_h / 2),
        np.diag([1 / choice.scale, 1 / choice.scale, 1]),
        _shift(-0.5, -0.5),  # from picture points to picture indices
    ]
    total: NDArray[np.float64] = steps[0]
    for step in steps[1:]:
        total = step @ total
    total.flags.writeable = False
    return total[:2]


def _shift(x: float, y: float) -> NDArray[np.float64]:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def apply(
    choice: Choice,
    size: Size,
    image: NDArray[np.uint8],
    label: NDArray[np.uint8],
    fill: tuple[int, int, int],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a crop of that size: image uint8 (h, w, 3), bilinear; label uint8 (h, w), nearest.

    Outside the picture the image is `fill` and the label 255.
    """
    height, width = label.shape
    to_picture = matrix(choice, height, width)
    target = _warped(label, to_picture, size)
    # A constant border would be blended into the picture's edge, so the edge is repeated, and the
    # outside is filled afterwards.
    picture = warp_picture(image, to_picture, *size.shape)
    if choice.blur:
        picture = np.asarray(cv2.GaussianBlur(picture, (5, 5), 0), np.uint8)
    if choice.distortion:
        picture = distort(picture, choice.distortion)
    if not _inside(to_picture, size, height, width):
        outside = cv2.warpAffine(
            _zeros(height, width),
            to_picture,
            size,
            flags=_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=1,
        )
        cv2.copyTo(_plain(size, fill), outside, picture)
    return picture, target


def _warped(
    label: NDArray[np.uint8], to_picture: NDArray[np.float64], size: Size
) -> NDArray[np.uint8]:
    """Return the crop of a label, 255 outside of it."""
    return cv2.warpAffine(  # type: ignore[return-value]  # OpenCV's types do not keep uint8
        label,
        to_picture,
        size,
        flags=_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=IGNORE,
    )


@lru_cache(maxsize=1)
def _zeros(height: int, width: int) -> NDArray[np.uint8]:
    return np.zeros((height, width), np.uint8)


@lru_cache(maxsize=1)
def _plain(size: Size, fill: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a picture with the color `fill` everywhere."""
    return np.full((*size.shape, 3), fill, np.uint8)


def _inside(to_picture: NDArray[np.float64], size: Size, height: int, width: int) -> bool:
    """Whether the whole crop is inside the picture, that is, its four corners are."""
    right, low = size.width - 1, size.height - 1
    corners = to_picture @ np.array([[0, right, 0, right], [0, 0, low, low], [1, 1, 1, 1]])
    x, y = corners
    return bool(x.min() >= 0 and y.min() >= 0 and x.max() <= width - 1 and y.max() <= height - 1)

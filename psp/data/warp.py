"""A picture's crop by an affine map, without work for pixels that the crop does not show.

OpenCV takes several times as long for a pixel outside the picture as for one inside, and small
canvases leave much of a crop outside: what is right of the picture or below it is left out. Of the
picture only what the crop shows is prepared. The values are those of one warp of everything.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

BILINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_GROUP = 64  # columns: a multiple of what OpenCV computes at a time
_MARGIN = 4  # pixels around the picture in the crop, for a blur


def warp_picture(
    image: NDArray[np.uint8], to_picture: NDArray[np.float64], height: int, width: int
) -> NDArray[np.uint8]:
    """Return the crop of an image uint8 (H, W, 3), bilinear: uint8 (height, width, 3).

    `to_picture` (2, 3) maps indices (x, y) of the crop to the picture's. The picture's edge is
    repeated outside, but below it and to its right only for a few pixels, then it is black.
    """
    h, w = image.shape[:2]
    rows, columns = shown(to_picture, height, width, h, w)
    # OpenCV warps four channels in 2/3 of the time of three, with the same values.
    rgba = np.empty((h, w, 4), np.uint8)
    cv2.cvtColor(image[rows, columns], cv2.COLOR_RGB2RGBA, rgba[rows, columns])
    to_crop = np.asarray(cv2.invertAffineTransform(to_picture), np.float64)
    bottom, right = (part.stop for part in shown(to_crop, h, w, height, width, _MARGIN))
    # Not what is above the picture or to its left: the first row and column decide how OpenCV
    # rounds the coordinates of the others, and so does a last group of fewer columns.
    right = min(-(-right // _GROUP) * _GROUP, width)
    warped = np.empty((height, width, 4), np.uint8)
    part = warped[:bottom, :right]
    warped[bottom:], warped[:bottom, right:] = 0, 0
    cv2.warpAffine(
        rgba, to_picture, (right, bottom), part, flags=BILINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), np.uint8)


def shown(
    matrix: NDArray[np.float64], height: int, width: int, rows: int, columns: int, margin: int = 2
) -> tuple[slice, slice]:
    """Return the rows and columns, of so many, that a rectangle of pixels maps to.

    `matrix` (2, 3) maps the rectangle's indices (x, y), height x width, to those of the rows and
    columns. There is at least one of each.
    """
    across, down = matrix.tolist()
    return (
        _clipped(down, height - 1, width - 1, rows, margin),
        _clipped(across, height - 1, width - 1, columns, margin),
    )


def _clipped(row: list[float], bottom: int, right: int, side: int, margin: int) -> slice:
    """Return what one row of the matrix makes of the corners (0, 0) to (right, bottom)."""
    by_x, by_y, shift = row
    low = shift + min(by_x * right, 0) + min(by_y * bottom, 0)
    high = shift + max(by_x * right, 0) + max(by_y * bottom, 0)
    start = min(max(math.floor(low) - margin, 0), side - 1)
    return slice(start, max(min(math.ceil(high) + margin + 1, side), start + 1))

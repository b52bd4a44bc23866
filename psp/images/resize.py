"""Resizing uint8 pictures: with the arithmetic of a library, and to be looked at."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def resize_bilinear(
    image: NDArray[np.uint8], size: tuple[int, int], library: Literal["opencv", "pillow"]
) -> NDArray[np.uint8]:
    """Return a uint8 (H, W, 3) picture at `size` (H, W), bilinearly.

    opencv takes the four pixels around each point, in fixed-point numbers; pillow as many as lie
    within the step, so that nothing is left out where the picture shrinks.
    """
    height, width = size
    if image.shape[:2] == size:
        return image  # as both do
    if library == "opencv":
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, np.uint8)
    picture = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(picture, np.uint8)  # a copy: torch warns about arrays that cannot be written


def shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) with a long side of at most `side`, by the means of areas."""
    return _with_long_side(image, side, cv2.INTER_AREA)


def shrunk_labels(label: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return class ids (H, W) with a long side of at most `side`, by nearest neighbors."""
    return _with_long_side(label, side, cv2.INTER_NEAREST_EXACT)


def _with_long_side(pixels: NDArray[np.uint8], side: int, method: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=method), np.uint8)

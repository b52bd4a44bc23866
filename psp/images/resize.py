"""Resizing uint8 pictures with the arithmetic of a library, for results that equal its own."""

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

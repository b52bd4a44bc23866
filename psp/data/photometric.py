"""Random brightness, contrast, saturation and hue of a training crop: mmsegmentation's distortion.

In its order, with its rounding: every step that is done rounds to uint8, and saturation and hue are
changed in OpenCV's HSV of 8 bits, to which the crop goes and from which it returns for each.
Source: mmseg/datasets/transforms/transforms.py, PhotoMetricDistortion (as SSD has it, Liu et al.
2016, section 2.2).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.settings.augmentation import Augmentation

SHARE = 0.5  # of the crops that each of the four steps changes
HUES = 180  # of OpenCV's 8-bit HSV: two degrees each


@dataclass(frozen=True)
class Distortion:
    """The random choices for one crop; None where a step is not done."""

    brightness: float | None = None  # added, in gray levels of 255
    contrast: float | None = None  # factor on every value
    contrast_first: bool = False  # before saturation and hue, or after them
    saturation: float | None = None  # factor
    hue: int | None = None  # added, of 180


def draw(settings: Augmentation, rng: np.random.Generator) -> Distortion | None:
    """Draw the choices for a crop, always with the same number of draws; None if all are off."""
    if not (settings.brightness or settings.contrast or settings.saturation or settings.hue):
        return None
    first, *draws = rng.random(9)
    done = [share < SHARE for share in draws[::2]]
    spread = [2 * value - 1 for value in draws[1::2]]  # -1 to 1
    hue = int(np.floor(spread[3] * settings.hue))  # -18 to 17, as numpy's randint leaves out 18
    return Distortion(
        settings.brightness * spread[0] if done[0] and settings.brightness else None,
        1 + settings.contrast * spread[1] if done[1] and settings.contrast else None,
        bool(first < 0.5),
        1 + settings.saturation * spread[2] if done[2] and settings.saturation else None,
        hue if done[3] and settings.hue else None,
    )


def distort(image: NDArray[np.uint8], choice: Distortion) -> NDArray[np.uint8]:
    """Return an RGB picture, uint8 (H, W, 3), with its colors changed."""
    image = _mapped(image, 1.0, choice.brightness)
    if choice.contrast_first:
        image = _mapped(image, choice.contrast)
    if choice.saturation is not None:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 1] = _mapped(np.ascontiguousarray(hsv[..., 1]), choice.saturation)
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)  # type: ignore[assignment]
    if choice.hue is not None:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        turned = (np.arange(256) + choice.hue) % HUES
        hsv[..., 0] = cv2.LUT(np.ascontiguousarray(hsv[..., 0]), turned.astype(np.uint8))
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)  # type: ignore[assignment]
    if not choice.contrast_first:
        image = _mapped(image, choice.contrast)
    return image


def _mapped(
    values: NDArray[np.uint8], factor: float | None, added: float | None = 0.0
) -> NDArray[np.uint8]:
    """Return value * factor + added in float32, limited to 0..255 and cut to whole numbers."""
    if factor is None or added is None:
        return values
    table = np.arange(256, dtype=np.float32) * np.float32(factor) + np.float32(added)
    # OpenCV's types do not keep uint8.
    return cv2.LUT(values, np.clip(table, 0, 255).astype(np.uint8))  # type: ignore[return-value]

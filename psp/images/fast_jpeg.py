"""JPEGs that were checked before, decoded faster: by OpenCV, where it gives Pillow's very pixels.

Both use libjpeg-turbo, but Pillow hands the file over in small pieces and copies the pixels twice.
What Pillow refuses OpenCV may fill with gray. So `fast_jpeg` is for files that were checked before
and whose checksum is right, those of shards; and `fast_check` leaves what is doubtful to Pillow.
Whether the two libraries agree depends on how they were
built: they are compared once in each process, and where they differ Pillow decodes everything.
"""

import io
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from psp.images.jpeg import JPEG, JPEG_END, is_closed, is_plain
from psp.images.opencv import quiet_pixels

_RGB: int | None = getattr(cv2, "IMREAD_COLOR_RGB", None)  # since OpenCV 4.10
_SIDES = (67, 45)  # no multiple of a block of any kind


def fast_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """Return a JPEG's pixels, uint8 (H, W, 3) RGB, as they are stored (not turned by EXIF data).

    None for what is no whole JPEG of three colors in 8 bits, where OpenCV and Pillow differ, or
    where what OpenCV prints cannot be hidden: then Pillow has to decode it.
    """
    if not _is_whole(data):
        return None
    pixels = _decoded(data)
    return pixels if pixels is not None and _agree() else None


def fast_check(data: bytes) -> bool:
    """Whether a JPEG is one that `fast_jpeg` decodes, and its bits could be decoded to the end.

    The inverse transform, which cannot fail, is done at 1/8 of the size. If it is not, Pillow has
    to say what is wrong.
    """
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
    return _is_whole(data) and is_closed(data) and quiet_pixels(data, flags) is not None


def _is_whole(data: bytes) -> bool:
    return data.startswith(JPEG) and data.endswith(JPEG_END) and is_plain(data)


def _decoded(data: bytes) -> NDArray[np.uint8] | None:
    flags = cv2.IMREAD_COLOR if _RGB is None else _RGB
    pixels = quiet_pixels(data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is not None and _RGB is None:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, pixels)
    return pixels


@lru_cache(maxsize=1)
def _agree() -> bool:
    """Whether OpenCV decodes JPEGs of all the usual kinds into the pixels of Pillow."""
    noise = np.random.default_rng(0).integers(0, 256, (*_SIDES, 3), dtype=np.uint8)
    picture = Image.fromarray(cv2.blur(noise, (3, 3)))
    for subsampling in range(3):  # 4:4:4, 4:2:2, 4:2:0
        for progressive in (False, True):
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=80, subsampling=subsampling, progressive=progressive)
            pixels = _decoded(file.getvalue())
            if pixels is None or not np.array_equal(pixels, np.asarray(Image.open(file))):
                return False
    return True

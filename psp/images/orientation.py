"""The orientation that a camera notes in a picture file (Exif 2.3, tag 274), and its undoing."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from psp.images.reading import ignore_warnings

UPRIGHT = 1
_TAG = 0x0112
# What undoes an orientation: whether rows and columns change places, then the flips of rows and of
# columns.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def orientation_of(picture: Image.Image) -> int:
    """Return a loaded picture's orientation, 1 to 8; 1 is upright.

    Pillow turns TIFFs itself, and libheif HEIC. Of an AVIF it is that of the file's transforms,
    which Pillow puts into the EXIF data; what XMP says besides is to be ignored.
    """
    if picture.format == "HEIF":
        return UPRIGHT
    try:
        with ignore_warnings():
            exif = picture.getexif()
            if picture.format == "AVIF":
                exif = Image.Exif()
                exif.load(picture.info.get("exif", b""))
            orientation = int(exif.get(_TAG, UPRIGHT))
    except Exception:  # unreadable EXIF data: the pixels are fine, so it is not turned
        return UPRIGHT
    return orientation if orientation in _TURNS else UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Whether height and width change places when an orientation is undone."""
    return orientation in _TURNS and _TURNS[orientation][0]


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return (H, W) or (H, W, 3) pixels turned upright, contiguous."""
    if orientation not in _TURNS:
        return pixels
    swap, rows, columns = _TURNS[orientation]
    turned = pixels.swapaxes(0, 1) if swap else pixels
    turned = turned[::-1] if rows else turned
    return np.ascontiguousarray(turned[:, ::-1] if columns else turned)

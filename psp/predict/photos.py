"""People's photos: any picture file that Pillow or OpenCV reads, upright.

Data sets are read by `pictures.decode_image`, which takes fewer kinds and leaves an EXIF
orientation alone, as their masks do.
"""

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from psp.images import (
    FORMATS,
    SUFFIXES,
    PictureError,
    UnknownKindError,
    ignore_warnings,
    open_picture,
    to_rgb,
)

PHOTO_SUFFIXES = SUFFIXES | {
    ".apng",
    ".avif",
    ".dds",
    ".dib",
    ".gif",
    ".hdr",
    ".icns",
    ".ico",
    ".j2k",
    ".jfif",
    ".jp2",
    ".jpe",
    ".jpx",
    ".mpo",
    ".pam",
    ".pbm",
    ".pcx",
    ".pic",
    ".pnm",
    ".psd",
    ".qoi",
    ".ras",
    ".sgi",
    ".sr",
    ".tga",
    ".xbm",
    ".xpm",
}
# What Pillow may take a file for. The last has no mark at the beginning of its files.
_FORMATS = (
    *FORMATS,
    "AVIF",
    "DDS",
    "DIB",
    "ICNS",
    "ICO",
    "JPEG2000",
    "PCX",
    "PSD",
    "QOI",
    "SGI",
    "SUN",
    "XBM",
    "XPM",
    "TGA",
)
_ORIENTATION = 0x0112
_TURNS = {  # what undoes an EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_photo(data: bytes, where: str) -> NDArray[np.uint8]:
    """Return any picture file's pixels as uint8 (H, W, 3) RGB, upright by its EXIF orientation.

    Gray is repeated, a palette applied, transparency dropped, CMYK converted, 16 bits reduced to 8;
    of several frames the first is taken. Raises PictureError, which starts with `where`.
    """
    try:
        picture = open_picture(data, where, _formats())
    except UnknownKindError:
        if data.startswith((b"\xff\xd8", b"\x89PNG")):  # of what is broken OpenCV fills in gray
            raise
        return _opencv(data, where)
    turn = _TURNS.get(_orientation(picture))
    return to_rgb(picture if turn is None else picture.transpose(turn), where)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # an older Pillow knows fewer


def _orientation(picture: Image.Image) -> int:
    try:
        with ignore_warnings():
            return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF data that no one can read turn nothing: the pixels are whole
        return 1


def _opencv(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode what Pillow does not know. Raises PictureError if OpenCV does not either."""
    flags = cv2.IMREAD_COLOR
    if not data.startswith(b"#?"):  # Radiance's light of 0..1 becomes 0..255, as OpenCV does it
        flags |= cv2.IMREAD_ANYDEPTH
    log: Any = getattr(cv2.utils, "logging", cv2)  # since OpenCV 5, and before
    level = log.getLogLevel()
    log.setLogLevel(0)  # silent: it would print what is raised here
    found: NDArray[Any] | None
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        found = None
    finally:
        log.setLogLevel(level)
    if found is None or not found.size:
        raise PictureError(f"{where}: not a picture (it starts with {data[:8]!r}).")
    if found.dtype == np.uint16:
        found = np.right_shift(found, 8)
    elif found.dtype != np.uint8:
        raise PictureError(f"{where}: a picture of fractions. Save it with 8 bits.")
    return np.ascontiguousarray(found[..., ::-1], np.uint8)

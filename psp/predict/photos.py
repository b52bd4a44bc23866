"""Decoding of users' photos: any picture file that Pillow or OpenCV reads, turned upright.

Pictures of data sets are read by `psp.images.pictures`, which accepts fewer formats.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from psp.images.headers import jpeg_2000_bits
from psp.images.kinds import (
    BY_SUFFIX,
    JPEG_2000,
    OTHER_PICTURE,
    RAW,
    VIDEO,
    content_kind,
    suffixes,
    why_unread,
)
from psp.images.opencv import opencv_pixels
from psp.images.orientation import orientation_of, upright
from psp.images.pictures import to_rgb
from psp.images.reading import (
    FORMATS,
    SUFFIXES,
    PictureError,
    UnknownKindError,
    open_picture,
)
from psp.images.tiff import SIGNATURES

PHOTO_SUFFIXES = SUFFIXES | suffixes(
    "dds dib hdr icns ico j2c j2k jp2 jpc jpf jpx mpo pam pcx pic psd qoi ras sgi sr sun "
    "tga xbm xpm"
)
# Formats that Pillow may try. TGA is the last, because its files do not begin with a signature.
_FORMATS = (
    *FORMATS,
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


def decode_photo(data: bytes, where: str, notes: list[str] | None = None) -> NDArray[np.uint8]:
    """Return a picture file's pixels as uint8 (H, W, 3) RGB, upright by its EXIF orientation.

    Gray is repeated, a palette applied, transparency dropped, CMYK converted, 16 bits reduced to 8;
    of several frames the first is taken. `notes` gets what is worth saying of the file. Raises
    PictureError, whose message starts with `where`.
    """
    raw = BY_SUFFIX.get(Path(where).suffix.lower()) is RAW and data.startswith(SIGNATURES)
    # A decoder of TIFFs would find a raw file's small preview.
    if raw or content_kind(data[:64]) not in (None, JPEG_2000, OTHER_PICTURE):
        if content_kind(data[:64]) is VIDEO:
            raise PictureError(
                f"{where}: it is a video. One at a time: psp predict {where} -m MODEL"
            )
        raise PictureError(f"{where}: {why_unread(data, where)}.")
    try:
        picture = open_picture(data, where, _formats(), notes=notes)
    except UnknownKindError:
        if data.startswith((b"\xff\xd8", b"\x89PNG")):  # OpenCV fills damaged ones with gray
            raise
        if (pixels := _opencv(data, where)) is None:
            raise
        return pixels
    if picture.format == "JPEG2000" and len(picture.getbands()) > 1:
        bits = jpeg_2000_bits(data)
        if bits > 8:  # Pillow rounds white up to black
            raise PictureError(f"{where}: a JPEG 2000 of {bits} bits a color. Save it with 8 bits.")
    return upright(to_rgb(picture, where, data, notes), orientation_of(picture))


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # an older Pillow has fewer


def _opencv(data: bytes, where: str) -> NDArray[np.uint8] | None:
    """Decode a format that Pillow does not know; None if OpenCV cannot either.

    Raises PictureError for floating-point numbers.
    """
    flags = cv2.IMREAD_COLOR
    if not data.startswith(b"#?"):  # Radiance: OpenCV turns its 0..1 into 0..255
        flags |= cv2.IMREAD_ANYDEPTH
    picture = opencv_pixels(data, flags)
    if picture is None or not picture.size:
        return None
    if picture.dtype == np.uint16:
        picture = np.right_shift(picture, 8)
    elif picture.dtype != np.uint8:
        raise PictureError(f"{where}: its pixels are floating-point numbers. Save it with 8 bits.")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)

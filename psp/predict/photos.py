"""Decoding of users' photos: any picture file that Pillow or OpenCV reads, turned upright.

Pictures of data sets are read by `psp.images.pictures`, which accepts fewer formats.
"""

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from psp.images.orientation import orientation_of, upright
from psp.images.pictures import to_rgb
from psp.images.reading import (
    FORMATS,
    SUFFIXES,
    PictureError,
    UnknownKindError,
    open_picture,
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
# What phones and cameras write besides, which neither Pillow nor OpenCV reads. A camera's raw file
# can look like a TIFF, whose picture is then a small preview.
UNREAD_SUFFIXES = frozenset(
    {
        ".3fr",
        ".arw",
        ".cr2",
        ".cr3",
        ".dng",
        ".erf",
        ".heic",
        ".heics",
        ".heif",
        ".hif",
        ".iiq",
        ".jxl",
        ".kdc",
        ".nef",
        ".nrw",
        ".orf",
        ".pef",
        ".raf",
        ".raw",
        ".rw2",
        ".srw",
        ".x3f",
    }
)
CONVERT = "psp does not read this kind of photo. Convert it to JPEG or PNG"
_HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1", b"ftypheim")
# Formats that Pillow may try. TGA is the last, because its files do not begin with a signature.
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


def decode_photo(data: bytes, where: str) -> NDArray[np.uint8]:
    """Return a picture file's pixels as uint8 (H, W, 3) RGB, upright by its EXIF orientation.

    Gray is repeated, a palette applied, transparency dropped, CMYK converted, 16 bits reduced to 8;
    of several frames the first is taken. Raises PictureError, whose message starts with `where`.
    """
    if Path(where).suffix.lower() in UNREAD_SUFFIXES:
        raise PictureError(f"{where}: {CONVERT}.")
    try:
        picture = open_picture(data, where, _formats())
    except UnknownKindError:
        if data.startswith((b"\xff\xd8", b"\x89PNG")):  # OpenCV fills damaged ones with gray
            raise
        return _opencv(data, where)
    return upright(to_rgb(picture, where, data), orientation_of(picture))


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # an older Pillow has fewer


def _opencv(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode a format that Pillow does not know. Raises PictureError if OpenCV cannot either."""
    flags = cv2.IMREAD_COLOR
    if not data.startswith(b"#?"):  # Radiance: OpenCV turns its 0..1 into 0..255
        flags |= cv2.IMREAD_ANYDEPTH
    log: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 5, and earlier versions
    level = log.getLogLevel()
    log.setLogLevel(0)  # silent: otherwise it prints the error that is raised below
    picture: NDArray[Any] | None
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        picture = None
    finally:
        log.setLogLevel(level)
    if picture is None or not picture.size:
        if data[4:12] in _HEIC:  # some phones name it .jpg
            raise PictureError(f"{where}: it is a HEIC file. {CONVERT}.")
        raise PictureError(f"{where}: not a picture (it starts with {data[:8]!r}).")
    if picture.dtype == np.uint16:
        picture = np.right_shift(picture, 8)
    elif picture.dtype != np.uint8:
        raise PictureError(f"{where}: its pixels are floating-point numbers. Save it with 8 bits.")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)

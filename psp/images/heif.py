"""HEIC and AVIF, as phones write them: pictures in boxes of the ISO base media file format.

HEIC is decoded by pillow-heif (the extra [heif]), AVIF by Pillow itself. In both, a transform in
the file (irot, imir) says how the picture is turned, and a tag of the EXIF data, which may say the
same, has to be ignored (ISO/IEC 23008-12). libheif applies the transforms; Pillow's AVIF reader
tells them as an orientation.
"""

import io
from functools import cache

from PIL import Image

HEIF_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
AVIF_SUFFIXES = frozenset({".avif", ".avifs"})
INSTALL = "install what reads them: pip install pillow-heif"
_HEVC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AV1 = {b"avif", b"avis"}
_ANY = {b"mif1", b"mif2", b"mif3", b"msf1", b"miaf"}


def _brands(data: bytes) -> set[bytes]:
    """Return the brands in a file's first box; none if that is no file type box."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), len(data))
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}


def is_avif(data: bytes) -> bool:
    """Whether a file's first bytes say AVIF."""
    return bool(_brands(data) & _AV1)


def is_heif(data: bytes) -> bool:
    """Whether a file's first bytes say HEIC or another HEIF than AVIF, whatever its name says."""
    brands = _brands(data)
    return not brands & _AV1 and data[8:12] in _HEVC | _ANY


@cache
def has_heif() -> bool:
    """Whether HEIC can be read here."""
    try:
        import pillow_heif  # noqa: F401 - only whether it can be
    except ImportError:  # also if a library that it needs is missing
        return False
    return True


@cache
def has_avif() -> bool:
    """Whether AVIF can be read here: by Pillow since 11.3."""
    try:
        from PIL import AvifImagePlugin
    except ImportError:
        return False
    return AvifImagePlugin.SUPPORTED


def open_heif(data: bytes) -> Image.Image:
    """Return a HEIC file's main picture, not yet decoded: upright, 8 bits a color.

    Raises ImportError without pillow-heif, and what it raises for a broken file. 10 and 12 bits are
    reduced to their upper eight.
    """
    from pillow_heif import HeifImageFile

    picture: Image.Image = HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call]
    return picture

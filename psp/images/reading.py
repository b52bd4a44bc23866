"""Picture files are opened here, and nowhere else: decoded completely, or refused with the cause.

Pillow decodes, because it refuses broken files (truncation, PNG checksums) that other decoders fill
with gray. With one decoder everywhere, training, evaluation and prediction see the same pixels.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from psp.errors import PspError
from psp.files import placeholder
from psp.images.headers import (
    PNG,
    bmp_indices,
    checked_png,
    jpeg_has_one_scan,
    jpegs_with_an_end,
    tiff_fault,
    tiff_label_fault,
)
from psp.images.heif import (
    AVIF_SUFFIXES,
    HEIF_SUFFIXES,
    has_avif,
    has_heif,
    is_avif,
    is_heif,
    open_heif,
)
from psp.images.kinds import why_unread
from psp.workers import available_memory

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", *HEIF_SUFFIXES, *AVIF_SUFFIXES}
)
# The only formats that Pillow may detect, whatever the file's name: for EPS it runs Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # and BigTIFF
BYTES_PER_PIXEL = 12  # Pillow's own 4, and two copies as RGB with some room
# Memory decides how large a picture may be (`_check_memory`), not a number of the library's.
Image.MAX_IMAGE_PIXELS = None


class PictureError(PspError):
    """A file that is not a readable picture, or not of the required kind."""


class UnknownKindError(PictureError):
    """A file of none of the accepted formats."""


def open_picture(
    data: bytes,
    where: str,
    formats: tuple[str, ...] = FORMATS,
    before_loading: Callable[[Image.Image], None] = lambda picture: None,
    *,
    label: bool = False,
) -> Image.Image:
    """Decode a file of one of Pillow's `formats` completely.

    The file's own header decides whether its pixels are read exactly; `label` says that they are to
    be values, not colors. Raises UnknownKindError for a file of another format, and PictureError
    for any other error. `before_loading` is called when the header is read, but not yet the pixels.
    """
    if not data:
        raise PictureError(f"{where}: the file is empty. Copy it again.")
    try:
        with ignore_warnings():
            if data.startswith(PNG) and "PNG" in formats:
                data = checked_png(data)
            picture = _opened(data, where, formats, label)
            _check_memory(picture, where)
            if picture.format == "BMP":
                picture = palette_bmp(data) or picture
            elif isinstance(picture, TiffImagePlugin.TiffImageFile):
                tags = picture.tag_v2
                fault = tiff_label_fault(tags) if label else tiff_fault(tags)
                if fault:
                    raise PictureError(f"{where}: {fault}.")
            before_loading(picture)
            try:
                picture.load()
            except OSError:
                if picture.format != "JPEG":
                    raise
                picture = _jpeg_without_end(data)
            return picture
    except UnidentifiedImageError:
        if data.startswith(TIFF):  # one of a kind that Pillow has no mode for
            raise PictureError(f"{where}: {_unknown_tiff(data)}.") from None
        what = placeholder(data[:100]) or why_unread(data, where)
        what = what or f"not a picture (it starts with {data[:8]!r})."
        raise UnknownKindError(f"{where}: {what}") from None
    except PictureError:
        raise
    except Exception as error:  # for broken files Pillow's readers raise many types
        raise PictureError(f"{where}: broken picture: {' '.join(str(error).split())}") from None


def _opened(data: bytes, where: str, formats: tuple[str, ...], label: bool) -> Image.Image:
    """Open a file by its first bytes; only its header is read. Raises what Pillow raises."""
    kind = "HEIC" if is_heif(data) else "AVIF" if is_avif(data) else None
    if kind and label:
        raise PictureError(
            f"{where}: a label must be a PNG: {kind} is lossy, its values near borders are others."
        )
    if kind == "HEIC" and has_heif():
        return open_heif(data)
    if kind == "AVIF" and has_avif():
        formats = ("AVIF",)
    return Image.open(io.BytesIO(data), formats=formats)


def _check_memory(picture: Image.Image, where: str) -> None:
    """Raise PictureError for a picture that needs more memory than there is."""
    need, free = picture.width * picture.height * BYTES_PER_PIXEL, available_memory()
    if free is not None and need > free:
        raise PictureError(
            f"{where}: {picture.width}x{picture.height} pixels need {need / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} GB are free. Shrink it, or use a machine with more memory."
        )


def _unknown_tiff(data: bytes) -> str:
    """Return the cause for a TIFF that Pillow does not take for a picture."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        return tiff_fault(tags) or "a TIFF of a kind that is not read; save it as PNG"
    except Exception:  # whatever Pillow raises for a broken one
        return "broken picture: its TIFF header cannot be read"


def palette_bmp(data: bytes) -> Image.Image | None:
    """Return a BMP with a palette as its indices; None for other BMPs, which Pillow reads."""
    if (found := bmp_indices(data)) is None:
        return None
    indices, palette = found
    picture = Image.frombytes("P", indices.shape[::-1], indices.tobytes())
    picture.putpalette(palette.tobytes())
    picture.format = "BMP"
    return picture


def _jpeg_without_end(data: bytes) -> Image.Image:
    """Decode a JPEG that lacks its end mark but no pixel. Raises ValueError for other JPEGs."""
    if not jpeg_has_one_scan(data):
        raise ValueError("the file ends early: its end-of-image mark is missing")
    pictures = [Image.open(io.BytesIO(full), formats=("JPEG",)) for full in jpegs_with_an_end(data)]
    one, other = map(np.asarray, pictures)
    if not np.array_equal(one, other):
        raise ValueError("the file ends early: pixels are missing")
    return pictures[0]


@contextlib.contextmanager
def ignore_warnings() -> Iterator[None]:
    """Hide Pillow's warnings in the block: about large pictures and odd EXIF data."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield

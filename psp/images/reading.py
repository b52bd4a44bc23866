"""Picture files are opened here, and nowhere else: decoded completely, or refused with the cause.

Pillow decodes, because it refuses broken files (truncation, PNG checksums) that other decoders fill
with gray. With one decoder everywhere, training, evaluation and prediction see the same pixels.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from psp.errors import PspError
from psp.files import placeholder
from psp.images.headers import PNG, bmp_indices, checked_png, checked_webp, is_webp
from psp.images.heif import (
    AVIF_SUFFIXES,
    HEIF_SUFFIXES,
    has_avif,
    has_heif,
    is_avif,
    is_heif,
    open_heif,
)
from psp.images.jpeg import JPEG, jpeg_fault, jpeg_has_all_scans, jpegs_with_an_end
from psp.images.kinds import why_unread
from psp.images.netpbm import is_pam, read_pam
from psp.images.remarks import picture_count, remarks
from psp.images.tiff import SIGNATURES as TIFF
from psp.images.tiff import (
    missing_codec,
    preview_fault,
    tiff_fault,
    tiff_label_fault,
    unknown_tiff,
)
from psp.workers import available_memory

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", *HEIF_SUFFIXES, *AVIF_SUFFIXES}
)
# The only formats that Pillow may detect, whatever the file's name: for EPS it runs Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
BYTES_PER_PIXEL = 12  # Pillow's own 4, and two copies as RGB with some room
# How many pixels a byte of a file can stand for: in PNG 8 of two colors, deflated 1,032 times; in
# GIF the longest string of 12 bits; in BMP a run of 255 in two bytes, or 8.
MOST_PIXELS = {"PNG": 8 * 1032, "GIF": 4096, "BMP": 128, "PPM": 8}
# The same by a TIFF's compression: none, LZW, deflate, run lengths. Of others nothing is known.
MOST_IN_TIFF = {1: 8, 5: 8 * 2731, 8: 8 * 1032, 32946: 8 * 1032, 32773: 8 * 64}
# Memory decides how large a picture may be (`check_memory`), not a number of the library's.
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
    notes: list[str] | None = None,
) -> Image.Image:
    """Decode a file of one of Pillow's `formats` completely.

    The file's own header decides whether its pixels are read exactly; `label` says that they are to
    be values, not colors. `notes` gets what is worth saying of a file that is read. Raises
    UnknownKindError for a file of another format, and PictureError for any other error.
    `before_loading` is called when the header is read, but not yet the pixels.
    """
    if not data:
        raise PictureError(f"{where}: the file is empty. Copy it again.")
    try:
        with ignore_warnings():
            original, data = data, _checked(data, where, formats)
            picture = _opened(data, where, formats, label)
            check_memory(picture, where)
            _check_length(picture, len(data), where)
            if picture.format == "BMP":
                picture = palette_bmp(data) or picture
            elif isinstance(picture, TiffImagePlugin.TiffImageFile):
                tags = picture.tag_v2
                fault = preview_fault(data, tags)
                fault = fault or (tiff_label_fault(tags) if label else tiff_fault(tags))
                if fault and label:
                    fault = f"a label must be a PNG: {fault}"
                if fault:
                    raise PictureError(f"{where}: {fault}.")
            before_loading(picture)
            try:
                picture.load()
            except OSError:
                if picture.format not in ("JPEG", "MPO"):
                    raise
                picture = _jpeg_without_end(data)
            if label and picture_count(picture, data) > 1:
                kind = picture.format
                raise PictureError(
                    f"{where}: a label must be a PNG: this {kind} has several pictures in it."
                )
            if notes is not None:
                notes += remarks(picture, original)
            return picture
    except UnidentifiedImageError:
        if data.startswith(TIFF):  # one of a kind that Pillow has no mode for
            raise PictureError(f"{where}: {unknown_tiff(data, _tiff_tags(data))}.") from None
        what = placeholder(data[:100]) or why_unread(data, where)
        what = what or f"not a picture (it starts with {data[:8]!r})."
        raise UnknownKindError(f"{where}: {what}") from None
    except PictureError:
        raise
    except Exception as error:  # for broken files Pillow's readers raise many types
        text = " ".join(str(error).split())
        if data.startswith(TIFF):
            text += missing_codec(_tiff_tags(data) or {})
        raise PictureError(f"{where}: broken picture: {text}") from None


def _checked(data: bytes, where: str, formats: tuple[str, ...]) -> bytes:
    """Return the bytes to decode. Raises PictureError for a kind that is not read, ValueError."""
    if data.startswith(PNG) and "PNG" in formats:
        return checked_png(data)
    if is_webp(data) and "WEBP" in formats:
        return checked_webp(data)
    if data.startswith(JPEG) and (fault := jpeg_fault(data)):
        raise PictureError(f"{where}: {fault}.")
    return data


def _opened(data: bytes, where: str, formats: tuple[str, ...], label: bool) -> Image.Image:
    """Open a file by its first bytes; only its header is read. Raises what Pillow raises."""
    kind = "HEIC" if is_heif(data) else "AVIF" if is_avif(data) else None
    if kind and label:
        raise PictureError(
            f"{where}: a label must be a PNG: {kind} is lossy, its values near borders are others."
        )
    if is_pam(data):
        return pam_picture(data)
    if kind == "HEIC" and has_heif():
        return open_heif(data)
    if kind == "AVIF" and has_avif():
        formats = ("AVIF",)
    return Image.open(io.BytesIO(data), formats=formats)


def _check_length(picture: Image.Image, length: int, where: str) -> None:
    """Raise PictureError for a header that a few bytes cannot fulfill.

    Pillow takes the memory of all pixels before it reads the first: gigabytes for a tiny file.
    """
    most = MOST_PIXELS.get(picture.format or "")
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        most = MOST_IN_TIFF.get(picture.tag_v2.get(259, 1))
    if most is not None and picture.width * picture.height > most * length:
        raise PictureError(
            f"{where}: broken picture: {length:,} bytes cannot hold the {picture.width}x"
            f"{picture.height} pixels of its header. Copy it again, or remove it."
        )


def check_memory(picture: Image.Image, where: str) -> None:
    """Raise PictureError for a picture that needs more memory than there is."""
    need, free = picture.width * picture.height * BYTES_PER_PIXEL, available_memory()
    if free is not None and need > free:
        raise PictureError(
            f"{where}: {picture.width}x{picture.height} pixels need {need / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} GB are free. Shrink it, or use a machine with more memory."
        )


def _tiff_tags(data: bytes) -> Mapping[int, Any] | None:
    """Return the tags of a TIFF's first picture; None if its header is broken."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        return dict(tags)
    except Exception:  # whatever Pillow raises for a broken one
        return None


def palette_bmp(data: bytes) -> Image.Image | None:
    """Return a BMP with a palette as its indices; None for other BMPs, which Pillow reads."""
    if (found := bmp_indices(data)) is None:
        return None
    indices, palette = found
    picture = Image.frombytes("P", indices.shape[::-1], indices.tobytes())
    picture.putpalette(palette.tobytes())
    picture.format = "BMP"
    return picture


def pam_picture(data: bytes) -> Image.Image:
    """Return a PAM, whose colors other decoders mix up: 8 bits, without its transparency."""
    values, white = read_pam(data)
    if values.shape[2] > 4:
        raise ValueError(f"{values.shape[2]} values a pixel: which are colors is not said")
    colors = values[..., :3] if values.shape[2] > 2 else values[..., 0]
    levels = (colors.astype(np.uint32) * 255 + white // 2) // white
    picture = Image.fromarray(levels.astype(np.uint8))
    picture.format = "PAM"
    return picture


def _jpeg_without_end(data: bytes) -> Image.Image:
    """Decode a JPEG that lacks its end mark but no pixel. Raises ValueError for other JPEGs."""
    if not jpeg_has_all_scans(data):
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

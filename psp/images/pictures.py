"""Picture files as pixels: uint8 (H, W, 3) RGB."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from psp.images.fast_jpeg import fast_check, fast_jpeg
from psp.images.headers import PNG, png_bits
from psp.images.heif import has_avif, is_heif, open_heif
from psp.images.jpeg import has_transform, upright_size
from psp.images.opencv import opencv_pixels
from psp.images.orientation import UPRIGHT, orientation_of, swaps_sides, upright
from psp.images.reading import (
    FORMATS,
    PictureError,
    check_memory,
    ignore_warnings,
    open_picture,
)
from psp.images.remarks import remarks
from psp.images.tiff import largest_sample

ORDINARY = 1 << 24  # pixels; of larger pictures the free memory is compared
MAX_16 = np.iinfo(np.uint16).max
_WHITES = {(1 << bits) - 1: bits for bits in (8, 10, 12, 14)}


def decode_image(
    data: bytes, where: str, *, turn: bool = False, notes: list[str] | None = None
) -> NDArray[np.uint8]:
    """Return a data set's picture file as uint8 (H, W, 3) RGB.

    Gray is repeated, a palette applied, transparency dropped, CMYK converted, 16 bits reduced to 8.
    With `turn` it is upright by its EXIF orientation, as own photos are; official sets' masks
    ignore it. `notes` gets what is worth saying. Raises PictureError, which starts with `where`.
    """
    picture = open_picture(data, where, notes=notes)
    pixels = to_rgb(picture, where, data, notes)
    turn = turn or picture.format == "AVIF"  # whose transforms are part of the picture
    return upright(pixels, orientation_of(picture)) if turn else pixels


def decode_checked(data: bytes, where: str, *, turn: bool = False) -> NDArray[np.uint8]:
    """Return what `decode_image` does, faster, of a file that it has decoded before."""
    pixels = fast_jpeg(data)
    if pixels is None:
        return decode_image(data, where, turn=turn)
    if not turn or upright_size(data):
        return pixels
    header = _jpeg_header(data)
    return pixels if header is None else upright(pixels, orientation_of(header))


def _jpeg_header(data: bytes) -> Image.Image | None:
    """Return a JPEG of which only the header is read; None if Pillow cannot read it."""
    try:
        with ignore_warnings():
            return Image.open(io.BytesIO(data), formats=("JPEG",))
    except Exception:  # Pillow raises many types; open_picture says which
        return None


def as_rgb(picture: object) -> NDArray[np.uint8]:
    """Return a Pillow picture's pixels as uint8 (H, W, 3) RGB. Raises PictureError."""
    if not isinstance(picture, Image.Image):
        raise PictureError(
            f"an image must be a path, a Pillow image or a uint8 array, not {type(picture)}."
        )
    if not (picture.width and picture.height):
        raise PictureError("an image without pixels: its width or height is 0.")
    try:
        return to_rgb(picture, "image")
    except (OSError, ValueError) as error:  # it may be decoded only now, or be closed
        raise PictureError(f"image: broken picture: {' '.join(str(error).split())}") from None


def check_image(data: bytes, where: str, notes: list[str] | None = None) -> tuple[int, int, int]:
    """Check that a picture file can be decoded to its end; return height, width and orientation.

    The size is that of the stored pixels, the orientation that of the EXIF data (1: upright).
    `notes` gets what is worth saying of the file.

    Raises PictureError if `decode_image` would. All bits of a JPEG are decoded, because that is
    where errors show, but the inverse transform, which cannot fail, is done at 1/8 of the size.
    """
    height, width, orientation = 0, 0, 1

    def shrink(picture: Image.Image) -> None:
        nonlocal height, width, orientation
        height, width = picture.height, picture.width
        if isinstance(picture, TiffImagePlugin.TiffImageFile):  # which Pillow turns itself
            orientation = int(picture.tag_v2.get(274, 1))
        if picture.format in ("JPEG", "MPO") and has_transform(data):
            # Not of a HEIC, whose thumbnail alone would be decoded.
            picture.draft("L", (max(1, width // 8), max(1, height // 8)))

    quick = fast_check(data)
    if quick and (size := upright_size(data)) and size[0] * size[1] <= ORDINARY:
        return *size, UPRIGHT
    if quick and (header := _jpeg_header(data)) is not None:
        check_memory(header, where)
        if notes is not None:
            notes += remarks(header, data)
        return header.height, header.width, orientation_of(header)
    picture = open_picture(data, where, before_loading=shrink, notes=notes)
    if picture.mode not in ("RGB", "L", "CMYK") or _may_be_deep(picture, data):
        to_rgb(picture, where, data, notes)
    if swaps_sides(orientation):
        height, width = width, height
    return height, width, max(orientation, orientation_of(picture))


def to_rgb(
    picture: Image.Image, where: str, data: bytes = b"", notes: list[str] | None = None
) -> NDArray[np.uint8]:
    """Return a loaded picture's pixels as uint8 (H, W, 3) RGB. Raises PictureError.

    A deep picture (10, 12 or 14 bits in files of 16) becomes as bright as it is meant: `used_bits`
    says how, and `notes` gets it. `data` is the file, where there is one.
    """
    if picture.mode.startswith("I"):  # convert() would clip
        values = np.asarray(picture)
        if values.max(initial=0) > MAX_16 or values.min(initial=0) < 0:
            raise PictureError(f"{where}: a picture of 32-bit values. Save it with 8 or 16 bits.")
        gray = (values >> _noted(used_bits(picture, values, data), notes) - 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if picture.mode == "F":  # convert() would clip 0..1 to black
        raise PictureError(f"{where}: a picture of floating-point values. Save it with 8 bits.")
    try:
        with ignore_warnings():
            picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    except ValueError:
        raise PictureError(
            f"{where}: mode {picture.mode} cannot be converted to RGB. Save it as RGB."
        ) from None
    pixels = np.array(picture)  # a copy: Pillow's own memory is read-only
    if data and pixels.max(initial=0) < 64 and (deep := deep_colors(data)) is not None:
        return (deep >> _noted(used_bits(picture, deep, data), notes) - 8).astype(np.uint8)
    return pixels


def _may_be_deep(picture: Image.Image, data: bytes) -> bool:
    """Whether a picture that Pillow shows in 8 bits a color may have more in its file."""
    if data.startswith(PNG):
        return data[24] > 8
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return bool(max(picture.tag_v2.get(258, (8,))) > 8)
    return False


def _noted(bits: int, notes: list[str] | None) -> int:
    """Return how many bits of 16 are used, and note it if those are not all."""
    if bits < 16 and notes is not None:
        notes.append(f"pictures of 16 bits a color use {bits}: white is {(1 << bits) - 1}")
    return bits


def deep_colors(data: bytes) -> NDArray[np.uint16] | None:
    """Return the pixels (H, W, 3) RGB of a file with 16 bits a color, None for other files.

    Pillow keeps the upper eight bits alone, in which 12 bits are nearly black.
    """
    if not data.startswith((PNG, b"II*\0", b"MM\0*")):
        return None
    # None for more pixels than its limit, 2^30: Pillow's upper bits have to do.
    pixels = opencv_pixels(data, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[2] < 3:
        return None
    return np.ascontiguousarray(pixels[..., 2::-1], np.uint16)


def used_bits(picture: Image.Image, values: NDArray[Any], data: bytes) -> int:
    """Return how many bits of 16-bit values are used: the value of white is 2^bits - 1.

    The header's word counts (PNG: sBIT; TIFF: bits a sample). Where it says nothing, a picture
    whose largest value fits 8, 10, 12 or 14 bits is taken to use just those, as cameras write it.
    """
    stated = None
    if data.startswith(PNG):
        stated = png_bits(data)[1]
    elif isinstance(picture, TiffImagePlugin.TiffImageFile):
        depth = int(picture.tag_v2.get(258, (16,))[0])
        stated = depth if depth < 16 else _WHITES.get(largest_sample(picture.tag_v2))
    largest = int(values.max(initial=0))
    if stated is not None and 8 <= stated < 16 and largest < 1 << stated:
        return stated  # a PNG that keeps to its specification has them in the upper bits
    return next((bits for bits in (8, 10, 12, 14) if 0 < largest < 1 << bits), 16)


def picture_size(path: Path) -> tuple[int, int]:
    """Return a picture file's height and width from its header. Raises PictureError."""
    try:
        with path.open("rb") as file:
            if is_heif(file.read(64)):
                picture: Image.Image = open_heif(path.read_bytes())
                return picture.height, picture.width
        formats = (*FORMATS, "AVIF") if has_avif() else FORMATS
        with Image.open(path, formats=formats) as picture:
            return picture.height, picture.width
    except Exception as error:  # Pillow raises many types, as in open_picture
        raise PictureError(f"{path}: broken picture: {' '.join(str(error).split())}") from None

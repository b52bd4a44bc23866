"""Label files as raw values: the integers of the file, uint8 or uint16 (H, W), or its colors."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from psp.images.fast_png import fast_gray_png
from psp.images.headers import PNG, gif_frame_fills_the_screen, webp_is_lossless
from psp.images.netpbm import is_pam, maximum, read_pam, read_pgm
from psp.images.orientation import orientation_of
from psp.images.pictures import deep_colors
from psp.images.reading import (
    FORMATS,
    PictureError,
    ignore_warnings,
    open_picture,
    palette_bmp,
)

PALETTE = 3  # color type in a PNG's IHDR


def label_orientation(data: bytes, where: str) -> int:
    """Return the EXIF orientation of a label file, 1 to 8; 1 is upright. Raises PictureError."""
    return orientation_of(open_picture(data, where, label=True))


def decode_label(data: bytes, where: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a label file's raw values, (H, W): palette indices for mode P, gray values for L.

    Raises PictureError for a broken file and for a color picture, whose values are not labels.
    """
    if (values := fast_gray_png(data)) is not None:
        return values
    if (numbers := _netpbm_values(data, where)) is not None:
        return numbers
    picture = _open_label(data, where)
    if picture.mode == "P":
        return np.array(picture)
    if picture.mode == "L":
        step = _gray_step(data, picture)
        return np.array(picture) if step == 1 else np.asarray(picture) // step
    if picture.mode == "1":
        return np.asarray(picture).astype(np.uint8)
    if picture.mode.startswith("I") or picture.mode == "F":
        return _whole_numbers(_stored(picture), where)
    colors = np.unique(_packed(np.asarray(picture.convert("RGB"))))
    shown = ", ".join(f"#{value:06x}" for value in colors[:6])
    raise PictureError(
        f"{where}: a label must be a palette or gray PNG, this one has mode {picture.mode} "
        f"(colors {shown}, …): colors are not class ids. Take the official files, or a card with "
        "labels = 'colors'"
    )


def _stored(picture: Image.Image) -> NDArray[Any]:
    """Return a picture's numbers; Pillow shows large ones without a sign as negative."""
    values = np.asarray(picture)
    unsigned = isinstance(picture, TiffImagePlugin.TiffImageFile) and 2 not in picture.tag_v2.get(
        339, (1,)
    )
    return values.view(np.uint32) if unsigned and values.dtype == np.int32 else values


def _whole_numbers(values: NDArray[Any], where: str) -> NDArray[np.uint16]:
    """Return 16-bit, 32-bit or floating-point values as labels. Raises PictureError."""
    with np.errstate(invalid="ignore"):  # not a number
        labels = values.astype(np.uint16)
    wrong = values != labels
    if wrong.any():
        shown = ", ".join(f"{value:.10g}" for value in np.unique(values[wrong])[:6])
        kind = " (floating-point numbers)" if values.dtype.kind == "f" else ""
        raise PictureError(
            f"{where}: it holds {shown}{kind}; labels are whole numbers from 0 to 65535. Save the "
            "mask with such values"
        )
    return labels


def label_palette(data: bytes) -> dict[int, int]:
    """Return value → color, 65536 R + 256 G + B, of a palette file; {} for other files."""
    if data.startswith(PNG) and data[12:16] == b"IHDR" and data[25] != PALETTE:
        return {}  # the usual case, without opening the file
    if is_pam(data):
        return {}
    picture: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    if picture.format == "BMP":
        picture = palette_bmp(data) or picture
    if picture.mode != "P":
        return {}
    flat = picture.getpalette("RGB") or []
    triples = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return {value: (r << 16) | (g << 8) | b for value, (r, g, b) in enumerate(triples)}


def decode_color_label(data: bytes, where: str) -> NDArray[np.int32]:
    """Return a colored label file's raw values, (H, W): 65536 R + 256 G + B.

    Raises PictureError for a broken file and for one that is partly transparent.
    """
    picture = _open_label(data, where)
    if picture.mode.startswith("I") or picture.mode == "F" or _is_deep(data):
        raise PictureError(f"{where}: a color label must have 8 bits per channel, not 16.")
    if picture.format in ("PPM", "PAM") and (top := maximum(data)) != 255:
        raise PictureError(f"{where}: a color label must have the maximum 255, not {top}.")
    if picture.format == "PAM" and read_pam(data)[0].shape[2] in (2, 4):
        raise PictureError(f"{where}: it has transparency. Save it without.")
    with ignore_warnings():
        opaque = not picture.has_transparency_data
        opaque = opaque or np.asarray(picture.convert("RGBA"))[..., 3].min() == 255
        colors = np.asarray(picture.convert("RGB"))
    if not opaque:
        raise PictureError(
            f"{where}: partly transparent, so that its colors are ambiguous. Save it without "
            "transparency."
        )
    return _packed(colors)


def _is_deep(data: bytes) -> bool:
    """Whether a file's colors have 16 bits that are more than 8 bits repeated."""
    deep = deep_colors(data)
    return deep is not None and bool((deep % 257).any())


def histogram(label: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how often each value occurs in uint8 (H, W): int64 (256,)."""
    flat = label.ravel()
    inner = np.flatnonzero(flat[1:] != flat[:-1])
    if len(inner) > flat.size // 16:
        return np.bincount(flat, minlength=256)
    # Labels are areas: adding up the lengths of runs is three times as fast as counting pixels.
    ends = np.concatenate([[-1], inner, [flat.size - 1]])
    counts = np.bincount(flat[ends[1:]], ends[1:] - ends[:-1], minlength=256)
    return counts.astype(np.int64)  # from float64, exact to 2^53


def _packed(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    red, green, blue = (image[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def _open_label(data: bytes, where: str) -> Image.Image:
    picture = open_picture(data, where, label=True)
    reason = _inexact(picture, data)
    if reason:
        raise PictureError(f"{where}: a label must be a PNG: {reason}.")
    return picture


def _inexact(picture: Image.Image, data: bytes) -> str | None:
    """Return why a label file's pixels may differ from the values that were saved, or None."""
    kind = picture.format
    if kind == "PNG":
        return None if data[12:16] == b"IHDR" else "its header is not first"
    if kind == "GIF" and not gif_frame_fills_the_screen(data):
        return "the frame of this GIF is smaller than its screen"
    if kind == "WEBP" and webp_is_lossless(data):
        return None
    if kind in ("BMP", "GIF", "TIFF", "PAM", "PPM"):
        return None
    if kind == "WEBP" and webp_is_lossless(data):
        return None
    return f"{kind} is lossy"


def _netpbm_values(data: bytes, where: str) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
    """Return the values in a PGM or a gray PAM, which decoders scale; None for other files."""
    try:
        if is_pam(data):
            values = read_pam(data)[0]
            if values.shape[2] == 2:
                raise ValueError("a PAM of grays with transparency")
            if values.shape[2] > 1:
                return None
            labels = values[..., 0]
        elif data[:2] in (b"P1", b"P2", b"P4", b"P5") and data[2:3].isspace():
            labels = read_pgm(data)
        else:
            return None
    except ValueError as error:
        raise PictureError(f"{where}: a label must be a PNG: {error}.") from None
    return labels.astype(np.uint8) if labels.max(initial=0) < 256 else labels


def _gray_step(data: bytes, picture: Image.Image) -> int:
    """Return the factor that Pillow scales the values of few bits with: 1 for 8 bits."""
    depth = 8
    if data.startswith(PNG):
        depth = data[24]  # in IHDR
    elif isinstance(picture, TiffImagePlugin.TiffImageFile):
        depth = int(picture.tag_v2.get(258, (8,))[0])
    return {1: 255, 2: 85, 4: 17}.get(depth, 1)

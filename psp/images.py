"""Picture files to arrays and back: the only module that decodes pictures.

Images become uint8 (H, W, 3) RGB, labels the raw integers of the file, uint8 or uint16 (H, W).
Pillow decodes, because it refuses broken files (truncation, PNG checksums) that other decoders fill
with gray. With one decoder everywhere, training, evaluation and prediction see the same pixels.
"""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from psp.errors import PspError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
# The only formats that Pillow may detect, whatever the file's name: for EPS it runs Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_LARGEST_JPEG = 65_500  # pixels a side, the limit of libjpeg

PNG = b"\x89PNG\r\n\x1a\n"
PALETTE = 3  # color type in IHDR


class PictureError(PspError):
    """A file that is not a readable picture, or not of the required kind."""


class UnknownKindError(PictureError):
    """A file of none of the accepted formats."""


def decode_image(data: bytes, where: str) -> NDArray[np.uint8]:
    """Return a data set's picture file as uint8 (H, W, 3) RGB.

    Gray is repeated, a palette applied, transparency dropped, CMYK converted, 16 bits reduced to 8.
    The EXIF orientation is ignored, because the data sets' masks ignore it. Raises PictureError,
    which starts with `where`.
    """
    return to_rgb(open_picture(data, where), where)


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


def check_image(data: bytes, where: str) -> tuple[int, int]:
    """Check that a picture file can be decoded to its end; return its height and width.

    Raises PictureError if `decode_image` would. All bits of a JPEG are decoded, because that is
    where errors show, but the inverse transform, which cannot fail, is done at 1/8 of the size.
    """
    height, width = 0, 0

    def shrink(picture: Image.Image) -> None:
        nonlocal height, width
        height, width = picture.height, picture.width
        picture.draft("L", (max(1, width // 8), max(1, height // 8)))

    picture = open_picture(data, where, before_loading=shrink)
    if picture.mode not in ("RGB", "L", "CMYK"):
        to_rgb(picture, where)
    return height, width


def to_rgb(picture: Image.Image, where: str) -> NDArray[np.uint8]:
    """Return a loaded picture's pixels as uint8 (H, W, 3) RGB. Raises PictureError."""
    if picture.mode.startswith("I"):  # 16-bit gray, which convert() would clip
        gray = (np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8)
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
    return np.array(picture)  # a copy: Pillow's own memory is read-only


def picture_size(path: Path) -> tuple[int, int]:
    """Return a picture file's height and width from its header. Raises PictureError."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            return picture.height, picture.width
    except Exception as error:  # Pillow raises many types, as in open_picture
        raise PictureError(f"{path}: broken picture: {' '.join(str(error).split())}") from None


def decode_label(data: bytes, where: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return a label file's raw values, (H, W): palette indices for mode P, gray values for L.

    Raises PictureError for a broken file and for a color picture, whose values are not labels.
    """
    picture = _open_label(data, where)
    if picture.mode == "P":
        return np.array(picture)
    if picture.mode == "L":
        step = _gray_step(data)
        return np.array(picture) if step == 1 else np.asarray(picture) // step
    if picture.mode == "1":
        return np.asarray(picture).astype(np.uint8)
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() >= 0 and values.max() <= np.iinfo(np.uint16).max:
            return values.astype(np.uint16)
    values = np.unique(_packed(np.asarray(picture.convert("RGB"))))
    shown = ", ".join(f"#{value:06x}" for value in values[:6])
    raise PictureError(
        f"{where}: a label must be a palette or gray PNG, this one has mode {picture.mode} "
        f"(colors {shown}, …): colors are not class ids. Take the official files, or a card with "
        "labels = 'colors'"
    )


def label_palette(data: bytes) -> dict[int, int]:
    """Return value → color, 65536 R + 256 G + B, of a palette file; {} for other files."""
    if data.startswith(PNG) and data[12:16] == b"IHDR" and data[25] != PALETTE:
        return {}  # the usual case, without opening the file
    picture = Image.open(io.BytesIO(data), formats=FORMATS)
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
    if picture.mode.startswith("I"):
        raise PictureError(f"{where}: a color label must have 8 bits per channel, not 16.")
    if picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
        raise PictureError(
            f"{where}: partly transparent, so that its colors are ambiguous. Save it without "
            "transparency."
        )
    return _packed(np.asarray(picture.convert("RGB")))


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
    picture = open_picture(data, where)
    reason = _inexact(picture, data)
    if reason:
        raise PictureError(f"{where}: a label must be a PNG: {reason}.")
    return picture


def _inexact(picture: Image.Image, data: bytes) -> str | None:
    """Return why a label file's pixels may differ from the values that were saved, or None."""
    kind = picture.format
    if getattr(picture, "n_frames", 1) > 1:
        return f"this {kind} has several pictures in it"
    if kind == "PNG":
        return None if data[12:16] == b"IHDR" else "its header is not first"
    if kind in ("BMP", "GIF"):
        return None
    if kind == "PPM":  # Pillow scales 0..maxval to 0..255
        top = data.split(maxsplit=4)[3] if not data.startswith(b"P4") else b"1"
        return None if top in (b"255", b"65535") else f"a PGM with maximum {top!r} is not exact"
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        if picture.info.get("compression") in ("jpeg", "webp"):
            return "its compression is lossy"
        if picture.tag_v2.get(262) == 0 or set(picture.tag_v2.get(258, (1,))) - {8, 16}:
            return "a TIFF with fewer than 8 bits, or where 0 is white, is not exact"
        return None
    return f"{kind} is lossy"


def encode_color(label: NDArray[np.int64]) -> bytes:
    """Return colors (H, W), 65536 R + 256 G + B, as the bytes of a color PNG."""
    channels = [(label >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)]
    return encode_png(np.stack(channels, axis=2))


def encode_label(label: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Return class ids, uint8 or uint16 (H, W), as the bytes of a gray PNG (lossless).

    Runs of equal ids compress as well without PNG's filters; choosing those takes Pillow twice as
    long as everything else. zlib is faster with less memory than the usual level (memLevel 6),
    because it slides its tables every 32 KB, and its smaller blocks give 8% fewer bytes.
    """
    height, width = label.shape
    values = label.astype(label.dtype.newbyteorder(">"), copy=False).view(np.uint8)
    rows = np.empty((height, 1 + values.shape[1]), np.uint8)
    rows[:, 0] = 0  # each row starts with its filter type: none
    rows[:, 1:] = values
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 6, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8 * label.itemsize, 0, 0, 0, 0)  # gray
    pixels = compressor.compress(rows.data) + compressor.flush()
    return PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def encode_palette(label: NDArray[np.uint8], palette: tuple[tuple[int, int, int], ...]) -> bytes:
    """Return class ids, uint8 (H, W), as a palette PNG: shown in color, values are ids."""
    picture = Image.fromarray(label).convert("P")
    picture.frombytes(label.tobytes())
    # All 256 entries: with 16 or fewer, Pillow writes 4 bits, and 255 is read back as 15.
    entries = [*palette, *[(0, 0, 0)] * (255 - len(palette)), (255, 255, 255)]
    picture.putpalette([value for color in entries for value in color])
    return _png(picture)


def encode_jpeg(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Return uint8 (H, W, 3) RGB as a JPEG file; shrunk if it is larger than a JPEG can be."""
    picture = Image.fromarray(image)
    longest = max(picture.size)
    if longest > _LARGEST_JPEG:
        width, height = (max(1, side * _LARGEST_JPEG // longest) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return uint8 (H, W, 3) RGB as the bytes of a PNG file."""
    return _png(Image.fromarray(image))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _gray_step(data: bytes) -> int:
    """Return the factor that Pillow scales a gray PNG's values with: 1 for 8 bits."""
    depth = data[24] if data.startswith(PNG) else 8  # IHDR's bit depth
    return {1: 255, 2: 85, 4: 17}.get(depth, 1)


def _check_sums(data: bytes) -> None:
    """Raise ValueError for a wrong checksum in a PNG: Pillow ignores those of the pixel data.

    Pillow's verify() does the same, but opens the file again, which takes five times as long.
    """
    at, kind, view = len(PNG), b"", memoryview(data)
    while kind != b"IEND":
        try:
            length, kind = struct.unpack_from(">I4s", data, at)
            (expected,) = struct.unpack_from(">I", data, at + 8 + length)
        except struct.error:
            raise ValueError("truncated PNG file") from None
        if zlib.crc32(view[at + 4 : at + 8 + length]) != expected:
            raise ValueError(f"wrong checksum in chunk {kind!r}")
        at += 12 + length


def open_picture(
    data: bytes,
    where: str,
    formats: tuple[str, ...] = FORMATS,
    before_loading: Callable[[Image.Image], None] = lambda picture: None,
) -> Image.Image:
    """Decode a file of one of Pillow's `formats` completely.

    Raises UnknownKindError for a file of another format, and PictureError for any other error.
    `before_loading` is called when the header is read, but not yet the pixels.
    """
    if not data:
        raise PictureError(f"{where}: the file is empty. Copy it again.")
    try:
        with ignore_warnings():
            picture = Image.open(io.BytesIO(data), formats=formats)
            if picture.format == "PNG":
                _check_sums(data)
            before_loading(picture)
            picture.load()
            return picture
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise PictureError(f"{where}: more than {limit} megapixels. Shrink it first.") from None
    except UnidentifiedImageError:
        raise UnknownKindError(f"{where}: not a picture (it starts with {data[:8]!r}).") from None
    except Exception as error:  # for broken files Pillow's readers raise many types
        raise PictureError(f"{where}: broken picture: {' '.join(str(error).split())}") from None


@contextlib.contextmanager
def ignore_warnings() -> Iterator[None]:
    """Hide Pillow's warnings in the block: about large pictures and odd EXIF data."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield

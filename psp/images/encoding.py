"""Arrays as the bytes of picture files: label maps as PNG, pictures as PNG and JPEG."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from psp.images.headers import PNG

_LARGEST_JPEG = 65_500  # pixels a side, the limit of libjpeg


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

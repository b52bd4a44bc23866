"""The PNGs that most labels are, gray values of 8 bits and nothing else, decoded faster by OpenCV.

PNG is lossless and libpng refuses every broken file, so the values are those of Pillow; whatever is
not as plain as expected, or refused, is left to it.
"""

import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.images.headers import PNG
from psp.images.opencv import quiet_pixels

_PLAIN = frozenset({b"IHDR", b"IDAT", b"IEND", b"tIME", b"pHYs"})
_GRAY = bytes((8, 0, 0, 0, 0))  # IHDR: 8 bits, gray, deflated, filtered by rows, not interlaced
_MOST = 1 << 26  # pixels; for more, the free memory is asked for
_DEFLATED = 1032  # how many times shorter zlib can make bytes


def fast_gray_png(data: bytes) -> NDArray[np.uint8] | None:
    """Return the values of a gray PNG, uint8 (H, W); None for what Pillow has to decode."""
    if not data.startswith(PNG) or data[12:16] != b"IHDR" or data[24:29] != _GRAY:
        return None
    width, height = struct.unpack(">II", data[16:24])
    if width * height > min(_MOST, _DEFLATED * len(data)) or not _is_plain(data):
        return None
    values = quiet_pixels(data, cv2.IMREAD_UNCHANGED)
    if values is None or values.shape != (height, width) or values.dtype != np.uint8:
        return None
    return values


def _is_plain(data: bytes) -> bool:
    """Whether a PNG has only chunks that say nothing of its values, all with right checksums."""
    at, kind, view = len(PNG), b"", memoryview(data)
    while kind != b"IEND":
        if at + 12 > len(data):
            return False
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind not in _PLAIN or end > len(data):
            return False
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return False
        at = end
    return at == len(data)

"""OpenCV's decoder, without what it prints: the library never does."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.images.headers import PNG

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk of every PNG


def opencv_pixels(data: bytes, flags: int) -> NDArray[Any] | None:
    """Return a picture as OpenCV decodes it; None if it cannot, or has more pixels than its limit.

    `flags` are those of cv2.imdecode. Channels are in its order, blue first.
    """
    if data.startswith(PNG):
        data = _with_end(data)
    log: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 5, and earlier versions
    level = log.getLogLevel()
    log.setLogLevel(0)  # silent: it prints what it does not know
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    finally:
        log.setLogLevel(level)


def _with_end(data: bytes) -> bytes:
    """Return a PNG with the last chunk that it lacks, of which libpng prints that it is missing."""
    for there in range(len(_PNG_END), -1, -1):
        if data.endswith(_PNG_END[:there]):
            return data + _PNG_END[there:]
    return data

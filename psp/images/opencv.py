"""OpenCV's decoder, without what it prints: the library never does."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def opencv_pixels(data: bytes, flags: int) -> NDArray[Any] | None:
    """Return a picture as OpenCV decodes it; None if it cannot, or has more pixels than its limit.

    `flags` are those of cv2.imdecode. Channels are in its order, blue first.
    """
    log: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 5, and earlier versions
    level = log.getLogLevel()
    log.setLogLevel(0)  # silent: it prints what it does not know
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    finally:
        log.setLogLevel(level)

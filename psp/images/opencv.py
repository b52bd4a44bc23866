"""OpenCV's decoder, without what it prints: the library never does."""

import contextlib
import os
import threading
from collections.abc import Iterator
from multiprocessing import parent_process
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


def quiet_pixels(data: bytes, flags: int) -> NDArray[Any] | None:
    """Return what `opencv_pixels` does, without what libjpeg and libpng print of broken files.

    None also where that cannot be done: for its time nothing is printed, so in the main process no
    other thread may be there that prints.
    """
    if parent_process() is None and threading.active_count() > 1:
        return None
    if not _one_at_a_time.acquire(blocking=False):
        return None
    try:
        with _without_stderr():
            return opencv_pixels(data, flags)
    finally:
        _one_at_a_time.release()


_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Send what C libraries write to file 2 to nowhere, in the block."""
    try:
        before = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _with_end(data: bytes) -> bytes:
    """Return a PNG with the last chunk that it lacks, of which libpng prints that it is missing."""
    for there in range(len(_PNG_END), -1, -1):
        if data.endswith(_PNG_END[:there]):
            return data + _PNG_END[there:]
    return data

"""Single frames of a video, as the bytes of PNG files.

Frames are counted while they are decoded: a jump by number is not exact for all formats.
"""

from pathlib import Path

import cv2
import numpy as np

from psp.errors import PspError
from psp.images.encoding import encode_png


class _Reader:
    """A video that is open at a frame; one a process, as frames are mostly read in their order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self.capture = cv2.VideoCapture(str(path))

    def skip_to(self, number: int) -> bool:
        """Decode the frames before a frame. Return whether it may be there."""
        while self.position < number:
            if not self.capture.grab():
                return False
            self.position += 1
        return True


_reader: _Reader | None = None


def read_frame(path: Path, number: int) -> bytes:
    """Return frame `number` (0 is the first) of a video as a PNG file's bytes.

    Raises PspError if the file is no video that OpenCV reads, or has fewer frames.
    """
    global _reader
    if _reader is None or _reader.path != path or _reader.position > number:
        if not path.is_file():
            raise PspError(f"{path}: no such file.")
        _reader = _Reader(path)
    reader = _reader
    if not reader.capture.isOpened():
        _reader = None
        raise PspError(f"{path}: no video that can be read. Save it as MP4, or extract its frames")
    if reader.skip_to(number):
        found, pixels = reader.capture.read()
        if found:
            reader.position += 1
            return encode_png(np.ascontiguousarray(pixels[..., ::-1], np.uint8))
    _reader = None
    raise PspError(
        f"{path}: has {reader.position} frames, but frame {number} is labeled. Is it the clip that "
        "was labeled?"
    )

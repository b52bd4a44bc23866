"""Video files: their frames one after the other, and overlay videos. OpenCV reads and writes both.

What OpenCV does not have: sound. What it cannot write: H.264. So videos are written as VP9 in
.webm, which browsers play.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.errors import PspError
from psp.files import placeholder
from psp.images.kinds import BY_SUFFIX, VIDEO, content_kind, is_picture

HIGHEST_RATE = 240  # frames a second; a file that says more means something else
USUAL_RATE = 30.0  # where a file does not say it
_SILENT = ("OPENCV_FFMPEG_LOGLEVEL", "-8")


@dataclass(frozen=True)
class Frame:
    """A frame: its number in the video (0 is the first), when it is shown, and its pixels."""

    number: int
    seconds: float
    image: NDArray[np.uint8]  # (H, W, 3) RGB, upright by the video's rotation


def is_video(path: Path) -> bool:
    """Whether a file is a video by its first bytes, or by its suffix if those say nothing."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(64)
    kind = content_kind(head)
    by_name = BY_SUFFIX.get(path.suffix.lower()) is VIDEO
    return kind is VIDEO or (by_name and kind is None)


class Clip:
    """A video file. `rate` are its frames per second, `total` how many frames it says to have.

    With a variable rate, `rate` is what the file names, and each frame has its own time. Raises
    PspError for a file that is no video, and one that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._capture = _opened(path)
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if 0 < rate <= HIGHEST_RATE else USUAL_RATE
        stated = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.total = int(stated) if math.isfinite(stated) and stated > 0 else 0
        self.cut_off: str | None = None  # after the last frame: what is missing of it

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield every `every`th frame, one at a time. Raises PspError if there is none at all."""
        number, seconds = 0, 0.0
        while self._capture.grab():
            now = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            later = math.isfinite(now) and (number == 0 or now > seconds)
            seconds = now if later else seconds + 1 / self.rate
            if number % every == 0:
                found, pixels = self._capture.retrieve()
                if not found:
                    break
                image = np.ascontiguousarray(pixels[..., ::-1], np.uint8)
                yield Frame(number, seconds, image)
            number += 1
        self._capture.release()
        if number == 0:
            raise PspError(f"{self.path}: a video without a frame that can be read. {_REMEDY}")
        # Files that do not count their frames name a time, which OpenCV turns into a count.
        end = self.total / self.rate
        missing = end - seconds - 1 / self.rate
        if number < self.total and missing > max(1.5 / self.rate, 0.02 * end):
            self.cut_off = (
                f"{self.path}: cut off or damaged: it says that it has {self.total} frames, and "
                f"{number} can be read"
            )


_REMEDY = "Copy or download it again, or convert it: ffmpeg -i VIDEO converted.mp4"


def _opened(path: Path) -> Any:
    """Return an opened cv2.VideoCapture; say why it cannot be opened if it cannot."""
    if not path.is_file():
        raise PspError(f"{path}: no such file.")
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise PspError(f"{path}: an empty file, of 0 bytes. {_REMEDY}")
    if reason := placeholder(head):
        raise PspError(f"{path}: {reason}")
    if is_picture(head):
        raise PspError(f"{path}: a picture, not a video. Rename it after its kind")
    # Text could be a playlist, whose addresses would be opened.
    if content_kind(head[:64]) is not VIDEO and b"\0" not in head:
        raise PspError(f"{path}: not a video.")
    os.environ.setdefault(*_SILENT)  # else it prints what it thinks of a file
    with _no_stderr():
        capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise PspError(
            f"{path}: a video that cannot be opened: cut off, or of a kind that is not read. "
            f"{_REMEDY}"
        )
    return capture


class WebmWriter:
    """A video of VP9 in .webm, without sound. Frames may have odd sides: a line is repeated."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        """Open a file for frames of (height, width). Raises PspError if that cannot be done."""
        self.path, self.size = path, size
        height, width = (side + side % 2 for side in size)
        os.environ.setdefault(*_SILENT)
        with _no_stderr():
            self._writer = cv2.VideoWriter(
                os.path.abspath(path),
                cv2.CAP_FFMPEG,
                cv2.VideoWriter.fourcc(*"VP90"),
                rate,
                (width, height),
            )
        if not self._writer.isOpened():
            raise PspError(
                f"{path}: no VP9 video of {width}x{height} can be written here. Update OpenCV: pip "
                "install -U opencv-python-headless"
            )

    def write(self, image: NDArray[np.uint8], copies: int = 1) -> None:
        """Append a frame, uint8 (H, W, 3) RGB, `copies` times."""
        height, width = self.size
        if image.shape[:2] != self.size:
            raise PspError(
                f"{self.path}: a frame of {image.shape[1]}x{image.shape[0]} among those of "
                f"{width}x{height}. All frames of a video have one size"
            )
        even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        pixels = cv2.cvtColor(even, cv2.COLOR_RGB2BGR)
        for _ in range(copies):
            self._writer.write(pixels)

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Let what OpenCV prints while a file is opened go nowhere: no level of its log stops it."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

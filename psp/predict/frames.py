"""What a video is made of: a clip's frames, or the pictures of a folder in the order of names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from psp.errors import PspError
from psp.files import read_bytes
from psp.images.video import Clip, Frame
from psp.predict.photos import decode_photo


@dataclass
class FrameFolder:
    """Pictures as the frames of a video of `rate` frames per second; broken ones are `failed`."""

    pictures: Sequence[Path]
    rate: float
    failed: list[tuple[int, str]] = field(default_factory=list)  # number, error
    cut_off: str | None = None

    @property
    def total(self) -> int:
        """How many frames there are."""
        return len(self.pictures)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield every `every`th frame. Raises PspError if none can be read."""
        for number in range(0, len(self.pictures), every):
            path = self.pictures[number]
            try:
                image = decode_photo(read_bytes(path), str(path))
            except PspError as error:
                self.failed.append((number, str(error)))
                continue
            yield Frame(number, number / self.rate, image)
        if len(self.failed) == len(range(0, len(self.pictures), every)):
            raise PspError(self.failed[0][1])


def path_of(source: Clip | FrameFolder, number: int) -> Path:
    """Return the file that a frame is in."""
    return source.path if isinstance(source, Clip) else source.pictures[number]


def in_order(pictures: Mapping[str, Path]) -> list[Path]:
    """Return pictures in the order of their names, in which frame2 comes before frame10."""
    return [pictures[name] for name in sorted(pictures, key=_order)]


def _order(name: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]

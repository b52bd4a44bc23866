"""Samples on their way into a shard: their bytes wait on the disk, where N processes put them.

A contiguous dataset needs its size at the beginning, and the sizes of labels are known only at the
end. So each process appends what it converts to a file of its own beside the shard; what travels to
the process that writes the shard is only where a sample lies, and what its bytes must give.
"""

import errno
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from psp.errors import PspError


@dataclass(frozen=True)
class Sample:
    """One picture with its label, ready to be stored."""

    name: str
    image: bytes  # the original file, or its pixels
    label: bytes  # a gray PNG of class ids, or the ids; nothing for a picture without label
    size: tuple[int, int]  # height, width
    pixels: NDArray[np.int64]  # (classes + 1,)


class Staged(NamedTuple):
    """Where a sample lies: in the file `spool`, from `start`, its image, label and histogram."""

    name: str
    spool: str
    start: int
    lengths: tuple[int, int, int]  # bytes of image, label, histogram
    crc32: tuple[int, int]  # of image, label
    size: tuple[int, int]  # height, width


def spool(folder: Path, shard: str, sample: Sample) -> Staged:
    """Append a sample of the shard of that name to the spool of this process in `folder`.

    Raises PspError when it cannot be written: a full disk.
    """
    path = folder / f"{shard}.{os.getpid()}.tmp"
    pixels = sample.pixels.astype(np.int64).tobytes()
    try:
        with path.open("ab", buffering=0) as file:
            start = file.tell()
            data = b"".join((sample.image, sample.label, pixels))
            if file.write(data) < len(data):  # what did not fit is dropped without a word
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise PspError(f"{path}: cannot be written: {error.strerror or error}.") from None
    return Staged(
        sample.name,
        path.name,
        start,
        (len(sample.image), len(sample.label), len(pixels)),
        (zlib.crc32(sample.image), zlib.crc32(sample.label)),
        sample.size,
    )

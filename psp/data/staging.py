"""Staging files: converted samples wait on disk until their shard is written.

A contiguous HDF5 dataset needs its size at the start, and the sizes of the labels are known only at
the end. So each worker process appends its converted samples to its own staging file beside the
shard, and sends the process that writes the shard only where each sample is.
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
    """A picture and its label, ready to be stored."""

    name: str
    image: bytes  # the original file, or its pixels
    label: bytes  # a zstd frame of class ids, or the ids; empty if the picture has no label
    size: tuple[int, int]  # height, width
    pixels: NDArray[np.int64]  # label histogram (classes + 1,), the last entry is ignore
    notes: tuple[str, ...] = ()  # what is to be counted and said: "turned with its photo"


class Staged(NamedTuple):
    """Where a sample is: image, label and histogram follow each other in a staging file."""

    name: str
    file: str  # name of the staging file
    start: int  # position in it
    lengths: tuple[int, int, int]  # bytes of image, label, histogram
    crc32: tuple[int, int]  # of image, label
    size: tuple[int, int]  # height, width
    notes: tuple[str, ...]


def stage(folder: Path, shard: str, sample: Sample) -> Staged:
    """Append a sample to this process's staging file for the shard of that name in `folder`.

    Raises PspError if it cannot be written, for example on a full disk.
    """
    path = folder / f"{shard}.{os.getpid()}.tmp"
    pixels = sample.pixels.astype(np.int64).tobytes()
    try:
        with path.open("ab", buffering=0) as file:
            start = file.tell()
            data = b"".join((sample.image, sample.label, pixels))
            if file.write(data) < len(data):  # a full disk cuts an unbuffered write silently
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
        sample.notes,
    )

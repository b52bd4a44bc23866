"""Labels in encoded shards: the H·W class ids, row by row, as one zstd frame.

A label is read for every crop, and PNG's inflate took as long as decoding the photo. On the labels
of ADE20K, VOC 2012, CamVid and Cityscapes a frame of level 3 has 60 to 83% of a PNG's bytes, takes
a fourth of the time to write and a fifteenth to read; level 1 is no faster and larger, level 6
takes five times as long for a fifth less of what is a fiftieth of a shard.

zstd promises that frames stay readable, not that another version writes the same bytes: so the
conversion of the shards says which version wrote them. Shards that do not name a codec have PNGs.
"""

import threading
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from psp.headers import Fields
from psp.workers import available_memory

LEVEL = 3
CODECS = ("zstd",)
_LARGE = 1 << 27  # pixels from which on the free memory is asked for, which takes time

_contexts = threading.local()  # they may be used again, but not by two threads at once


def label_codec() -> dict[str, Any]:
    """Return how labels are written: the conversion's "labels", on which their bytes depend."""
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    return {"codec": CODECS[0], "level": LEVEL, "version": version}


def check_label_codec(value: Fields) -> None:
    """Check the conversion's "labels". Raises DamagedError or NewerError."""
    value.only(("codec", "level", "version")).choice("codec", CODECS)
    value.whole("level")
    value.text("version")


def encode_ids(label: NDArray[np.uint8]) -> bytes:
    """Return class ids, uint8 (H, W), as a zstd frame that states its size."""
    if not hasattr(_contexts, "compressor"):
        # Without a checksum in the frame: the shard has one of every label.
        _contexts.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False)
    frame: bytes = _contexts.compressor.compress(np.ascontiguousarray(label).data)
    return frame


def decode_ids(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Return the class ids in a zstd frame, uint8 (height, width).

    Raises ValueError, before memory is taken, for a frame that is not of that size, and for one
    that is damaged; MemoryError for one that is too large for this machine.
    """
    pixels, shape = height * width, f"{width}x{height} pixels"
    try:
        stated = zstandard.frame_content_size(data)
    except zstandard.ZstdError:
        raise ValueError("its label is not a zstd frame") from None
    if stated != pixels:
        found = "does not state its size" if stated < 0 else f"is of {stated:,} bytes"
        raise ValueError(f"its label {found}, not the {pixels:,} of {shape}")
    free = available_memory() if pixels > _LARGE else None
    if free is not None and 2 * pixels > free:
        needed = f"{2 * pixels / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"
        raise MemoryError(f"its label of {shape} needs {needed}")
    if not hasattr(_contexts, "decompressor"):
        _contexts.decompressor = zstandard.ZstdDecompressor()
    try:
        ids = _contexts.decompressor.decompress(data, allow_extra_data=False)
    except zstandard.ZstdError:
        raise ValueError("its label is a damaged zstd frame") from None
    return np.frombuffer(ids, np.uint8).reshape(height, width).copy()  # bytes are read-only

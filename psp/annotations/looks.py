"""Whether a picture file is a mask or a photo, by its pixels.

A mask has few values, a photo thousands of colors; a mask that was saved as JPEG is flat in most of
its blocks. Only a sample of a folder's files is looked at: folders are of one kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.errors import PspError
from psp.files import read_bytes
from psp.images.reading import open_picture

MOST_COLORS = 80  # of a mask in color or gray, in the pixels that are looked at
_PIXELS = 1 << 18
_BLOCK = 8  # JPEG's
CONTRAST = 4  # a drawn picture has that many times the colors of its mask
SAMPLE = 9  # files of a folder
CAMERA_FILES = (".heic", ".heif", ".avif")

MASK, JPEG_MASK, PHOTO, UNREADABLE = "mask", "JPEG mask", "photo", "unreadable"


@dataclass(frozen=True)
class Kind:
    """What most of some files are: the share of masks among those that can be read, and an example.

    `colors` is the number of colors seen in the example.
    """

    masks: float
    readable: int
    example: Path
    colors: int

    @property
    def are_masks(self) -> bool:
        """Whether most files are masks."""
        return self.readable > 0 and self.masks > 0.5

    def contrasts(self, other: "Kind") -> bool:
        """Whether one of two has many times the colors of the other."""
        few, many = sorted((self.colors, other.colors))
        return many >= CONTRAST * few


def kind_of(files: Sequence[Path]) -> Kind:
    """Look at some of the files, spread over all."""
    step = max(1, len(files) // SAMPLE)
    looks = [(path, *look(path)) for path in files[::step][:SAMPLE]]
    readable = [entry for entry in looks if entry[1] != UNREADABLE]
    masks = [entry for entry in readable if entry[1] != PHOTO]
    share = len(masks) / len(readable) if readable else 0.0
    common = masks if share > 0.5 else [entry for entry in readable if entry[1] == PHOTO]
    example = (common or looks)[0]
    return Kind(share, len(readable), example[0], example[2])


def look(path: Path) -> tuple[str, int]:
    """Return MASK, JPEG_MASK, PHOTO or UNREADABLE for a file, and how many colors were seen."""
    if path.suffix.lower() in CAMERA_FILES:
        return PHOTO, _PIXELS
    try:
        picture = open_picture(read_bytes(path), str(path))
        lossy = picture.format in ("JPEG", "WEBP")
        if picture.mode in ("P", "L", "1", "I", "I;16", "F"):
            pixels = _some(np.asarray(picture), lossy).astype(np.int64)
        else:
            rgb = _some(np.asarray(picture.convert("RGB")), lossy).astype(np.int64)
            pixels = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    except PspError:
        return UNREADABLE, 0
    if lossy:
        return _look_at_blocks(pixels)
    some = pixels
    colors = len(np.unique(some))
    flat = float((some[:, 1:] == some[:, :-1]).mean()) if some.shape[1] > 1 else 1.0
    few = colors <= MOST_COLORS and (colors <= 4 or colors * 8 <= some.size)
    return (MASK if few or flat > 0.9 else PHOTO), colors


def _some(pixels: NDArray[Any], lossy: bool) -> NDArray[Any]:
    """Return some rows of a large picture, spread over it; of a JPEG whole rows of its blocks."""
    rows = max(1, _PIXELS // pixels.shape[1])
    step = max(1, pixels.shape[0] // rows)
    if not lossy or step == 1:
        return pixels[::step]
    return np.asarray(pixels[np.arange(len(pixels)) // _BLOCK % step == 0])


def _look_at_blocks(pixels: NDArray[np.int64]) -> tuple[str, int]:
    """Judge a JPEG: in a mask most blocks lie inside of a region, and are exactly of one color."""
    colors = len(np.unique(pixels))
    blocks = whole_blocks(pixels)
    if not len(blocks):
        return PHOTO, colors
    flat = blocks[(blocks == blocks[:, :1]).all(axis=1), 0]
    clean = len(flat) >= 0.5 * len(blocks) and len(np.unique(flat)) <= MOST_COLORS
    return (JPEG_MASK if clean else PHOTO), colors


def whole_blocks(pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the 8x8 blocks of (H, W) that a JPEG's encoder saw, as (n, 64)."""
    height, width = (side // _BLOCK for side in pixels.shape)
    cut = pixels[: height * _BLOCK, : width * _BLOCK]
    return cut.reshape(height, _BLOCK, width, _BLOCK).swapaxes(1, 2).reshape(-1, _BLOCK * _BLOCK)

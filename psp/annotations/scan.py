"""What is in mask files: their values, counted, before anybody says what these mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.annotations.looks import whole_blocks
from psp.errors import PspError
from psp.files import read_bytes
from psp.images.headers import PNG, webp_is_lossless
from psp.images.labels import decode_color_label, decode_label, label_palette
from psp.images.pictures import decode_image
from psp.images.reading import open_picture
from psp.workers import cores, map_in_processes

MOST_VALUES = 1024  # kept of one file, the most frequent
_ONE_VALUE = (0, 3)  # color types in a PNG's IHDR: gray, palette
_EVEN, _SPREAD = 5, 6  # an even area: a square of this side, and how far its levels may differ
_FEW = 48  # files that are scanned without starting processes


@dataclass(frozen=True)
class Scan:
    """One mask file: its values (or colors, 65536 R + 256 G + B) with how many pixels have each.

    `distinct` counts all values, `counts` has the most frequent. `solid` are those that fill a
    square of 3x3 pixels somewhere: a region does, the blurred border of one does not. `palette`
    has the colors of the values of a palette file. Of a `lossy` file the counts are those of even
    areas, and `blocks` those of the encoder's blocks with one color. `problem` says why a file
    cannot be read as a mask.
    """

    path: Path
    kind: str = "values"
    size: tuple[int, int] = (0, 0)  # width, height
    counts: dict[int, int] = field(default_factory=dict)
    distinct: int = 0
    solid: frozenset[int] = frozenset()
    palette: dict[int, int] = field(default_factory=dict)
    lossy: bool = False
    blocks: dict[int, int] = field(default_factory=dict)
    problem: str = ""


def scan_masks(paths: Sequence[Path]) -> list[Scan]:
    """Scan files, in their order, on all cores if they are many."""
    workers = 1 if len(paths) <= _FEW else cores()
    items = ((path, 1 << 18) for path in paths)
    return list(map_in_processes(make_scanner, (), items, workers))


def make_scanner() -> Callable[[Path], Scan]:
    """Return the function of a worker process."""
    return scan_mask


def scan_mask(path: Path) -> Scan:
    """Scan one file."""
    try:
        data, where = read_bytes(path), str(path)
        kind = _kind(data, where)
        if kind == "lossy":
            return _scan_lossy(path, decode_image(data, where))
        if kind == "values":
            values: NDArray[Any] = decode_label(data, where)
            return _scan(path, kind, values, label_palette(data))
        return _scan(path, kind, decode_color_label(data, where), {})
    except PspError as error:
        return Scan(path, problem=str(error))


def _kind(data: bytes, where: str) -> str:
    """Return "values", "colors" or "lossy" for a mask file. Raises PictureError."""
    if data.startswith(PNG) and data[12:16] == b"IHDR":  # the usual case, without decoding twice
        return "values" if data[25] in _ONE_VALUE else "colors"
    picture = open_picture(data, where, label=True)
    if picture.format == "JPEG" or (picture.format == "WEBP" and not webp_is_lossless(data)):
        return "lossy"
    one_value = picture.mode in ("P", "L", "1", "F") or picture.mode.startswith("I")
    return "values" if one_value else "colors"


def packed(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return (H, W, 3) as 65536 R + 256 G + B."""
    wide = rgb.astype(np.int64)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def _scan(path: Path, kind: str, values: NDArray[Any], palette: dict[int, int]) -> Scan:
    height, width = values.shape
    flat = values.ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)  # runs are counted
    found, inverse = np.unique(flat[ends], return_inverse=True)
    pixels = np.bincount(inverse, np.diff(ends, prepend=-1)).astype(np.int64)
    solid = frozenset(found.tolist()) if len(found) <= 2 else _solid(values)
    most = np.argsort(-pixels, kind="stable")[:MOST_VALUES]
    counts = dict(zip(found[most].tolist(), pixels[most].tolist(), strict=True))
    used = {value: palette[value] for value in counts if value in palette}
    return Scan(path, kind, (width, height), counts, len(found), solid, used)


def _solid(values: NDArray[Any]) -> frozenset[int]:
    """Return the values that fill a square of 3x3 pixels somewhere."""
    across = (values[:, 1:] == values[:, :-1])[:, 1:] & (values[:, 1:] == values[:, :-1])[:, :-1]
    rows = values[:, 2:]
    down = (rows[1:] == rows[:-1])[1:] & (rows[1:] == rows[:-1])[:-1]
    full = across[2:] & across[1:-1] & across[:-2] & down
    inside = rows[2:][full]
    if inside.dtype == np.uint8:
        return frozenset(np.flatnonzero(np.bincount(inside, minlength=256)).tolist())
    return frozenset(np.unique(inside).tolist())


def _scan_lossy(path: Path, image: NDArray[np.uint8]) -> Scan:
    height, width = image.shape[:2]
    colors = packed(image)
    square = np.ones((_EVEN, _EVEN), np.uint8)
    spread = (cv2.dilate(image, square) - cv2.erode(image, square)).max(axis=2)
    blocks = whole_blocks(colors)
    flat = blocks[(blocks == blocks[:, :1]).all(axis=1), 0] if len(blocks) else blocks.ravel()
    return Scan(
        path,
        "colors",
        (width, height),
        _most(colors[spread <= _SPREAD]),
        len(np.unique(colors)),
        lossy=True,
        blocks=_most(flat),
    )


def _most(values: NDArray[np.int64]) -> dict[int, int]:
    """Count the most frequent of some values."""
    found, number = np.unique(values, return_counts=True)
    most = np.argsort(-number, kind="stable")[:MOST_VALUES]
    return dict(zip(found[most].tolist(), number[most].tolist(), strict=True))

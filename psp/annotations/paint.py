"""From a picture's record to its pixels: which class each pixel was given."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from psp.annotations.records import (
    IGNORED,
    LARGE_FIRST,
    UNDRAWN,
    AnnotatedPicture,
    MaskFile,
    Shape,
)
from psp.annotations.snapping import snap
from psp.errors import PspError
from psp.images.labels import decode_color_label, decode_label
from psp.images.pictures import decode_image


def paint_shapes(
    picture: AnnotatedPicture,
    shapes: Sequence[Shape],
    height: int,
    width: int,
    names: Sequence[str],
    order: str,
) -> NDArray[np.int16]:
    """Return what was drawn, int16 (H, W): positions in `names`, or UNDRAWN.

    A later shape lies over an earlier one; with `order` LARGE_FIRST the smallest lies on top.
    Raises PspError, naming file and item, for a class that is not in `names` and for a shape that
    cannot be painted.
    """
    index = {name: position for position, name in enumerate(names)}

    def cover(shape: Shape) -> tuple[int, int, NDArray[np.bool_]]:
        where = f"{picture.source}: {shape.item}" if shape.item else str(picture.source)
        if shape.label not in index:
            raise PspError(f"{where}: '{shape.label}' is no class of this set")
        try:
            return shape.region.cover(height, width)
        except ValueError as error:
            raise PspError(f"{where}: {error}") from None

    # Masks are made twice rather than kept: hundreds of large ones do not fit into the memory.
    if order == LARGE_FIRST:  # equal areas keep the order of the file
        shapes = sorted(shapes, key=lambda shape: -int(np.count_nonzero(cover(shape)[2])))
    painted = np.full((height, width), UNDRAWN, np.int16)
    for shape in shapes:
        top, left, mask = cover(shape)
        part = painted[top : top + mask.shape[0], left : left + mask.shape[1]]
        part[mask] = index[shape.label]
    return painted


def read_mask(mask: MaskFile, data: bytes, names: Sequence[str]) -> NDArray[np.int16]:
    """Return a mask file's classes, int16 (H, W): positions in `names`, UNDRAWN or IGNORED.

    `data` is what the file holds. Raises PspError, naming the file, for a value that stands for no
    class, and for a class that is not in `names`.
    """
    index = {name: position for position, name in enumerate(names)}
    if mask.snap:
        raw, _ = snap(decode_image(data, str(mask.path)), tuple(mask.names))
    elif mask.kind == "values":
        raw = decode_label(data, str(mask.path)).astype(np.int32)
    else:
        raw = decode_color_label(data, str(mask.path))
    if mask.kind == "segments":
        raw = (raw >> 16) | (raw & 0xFF00) | ((raw & 0xFF) << 16)
    values, inverse = np.unique(raw, return_inverse=True)
    ids = np.empty(len(values), np.int16)
    for position, value in enumerate(values.tolist()):
        if value in mask.ignored:
            ids[position] = IGNORED
        elif value in mask.undrawn:
            ids[position] = UNDRAWN
        elif value not in mask.names:
            shown = f"color #{value:06x}" if mask.kind == "colors" else f"value {value}"
            raise PspError(f"{mask.path}: {shown} is none of the export's classes")
        elif mask.names[value] not in index:
            raise PspError(f"{mask.path}: '{mask.names[value]}' is no class of this set")
        else:
            ids[position] = index[mask.names[value]]
    return ids[inverse].reshape(raw.shape)

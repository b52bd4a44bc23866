"""What an export of a labeling tool says: pictures, each with named regions or with a mask file.

Records are plain and small: they travel to the processes that paint them (paint.py). One file a
format reads the export's own files into these records; registry.py lists them.

Coordinates are pixels, x to the right and y down, with (0, 0) at the corner of the first pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from psp.images.kinds import LeftOut

UNDRAWN = -1  # in a painted picture: no shape covers the pixel
IGNORED = -2  # in a painted picture: the export itself says to ignore it

FILE_ORDER = "file-order"  # a later shape lies on top of an earlier one
LARGE_FIRST = "large-first"  # the smallest shape lies on top


class Region(Protocol):
    """What one shape covers. Plain values, so that it can be sent to another process."""

    def cover(self, height: int, width: int) -> tuple[int, int, NDArray[np.bool_]]:
        """Return (top, left, mask) of the covered part of a picture of this size.

        The mask, bool (h, w), lies inside of the picture; it may be empty. Raises ValueError, with
        the reason as its text, if the region cannot be painted.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """A region that was given a class; `item` says where it stands in its file: "shapes[3]"."""

    label: str  # the class's name as the export writes it
    region: Region
    item: str = ""


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A picture's mask as a file of pixels, and what its values mean.

    `kind` is "values" (gray values or palette indices), "colors" (65536 R + 256 G + B) or
    "segments" (R + 256 G + 65536 B, COCO panoptic). A value that is in none of `names` (→ class),
    `ignored` and `undrawn` is an error of the file. With `snap`, a file that was saved as JPEG is
    read, too: each pixel takes the nearest color of `names` (`kind` is "colors").
    """

    path: Path
    kind: str
    names: Mapping[int, str]
    ignored: frozenset[int] = frozenset()
    undrawn: frozenset[int] = frozenset()
    snap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedPicture:
    """One picture of an export and what was drawn on it.

    `name` is its path below the export's pictures without file type. `wanted` is the file name or
    path that the export writes for it, and `image` the file that this is, or None if it is not
    there: it is then looked for elsewhere. `problem` says what is wrong with this picture's
    annotation, naming file and item; such a picture is reported and not converted.
    """

    name: str
    source: Path  # the annotation file
    wanted: str
    image: Path | None
    size: tuple[int, int] | None = None  # width and height, as the export states them
    split: str = ""  # "train", "val", "test", or "" if the export has no splits
    drawn: tuple[Shape, ...] | MaskFile = ()
    seen: frozenset[str] | None = None  # the classes in a mask file, where reading it showed them
    frame: int | None = (
        None  # `image` is a video, and this frame of it (0 is the first) the picture
    )
    embedded: bool = False  # `source` holds the picture itself, which counts before `image`
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Export:
    """All that was read from one export.

    `classes` are the declared or seen class names in the export's own order of ids; without a name
    for what is undrawn, unless the export declares one: that is `background`. `ignored` are names
    that mean "do not train on this". `order` is the tool's own painting order. `remarks` say what
    was left out, counted.
    """

    format: str  # for people: "labelme", "COCO instances"
    classes: tuple[str, ...]
    pictures: tuple[AnnotatedPicture, ...]
    colors: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    background: str = ""
    ignored: frozenset[str] = frozenset()
    order: str = FILE_ORDER
    covered: bool = False  # no pixel of a picture with shapes is undrawn
    remarks: tuple[str, ...] = ()
    # Photos and videos in its folders that psp cannot read, by folder.
    left_out: Mapping[Path, LeftOut] = field(default_factory=dict)

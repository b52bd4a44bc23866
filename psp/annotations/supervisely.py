"""Supervisely: meta.json with the classes, and DATASET/img and DATASET/ann, a JSON file a picture.

The order of `objects` is that of painting. Polygons are filled by OpenCV, with their holes cut out;
a bitmap is a packed PNG laid at its origin. Rectangles are painted, as Supervisely itself does.
"""

import base64
import binascii
import io
import zlib
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from psp.annotations.class_names import background_of, means_ignored
from psp.annotations.format import Format, ReadOptions
from psp.annotations.numbers import points, short, size
from psp.annotations.pictures import Pictures, stem_of
from psp.annotations.place import Place
from psp.annotations.polygons import WHOLE, Polygon
from psp.annotations.records import AnnotatedPicture, Export, Region, Shape
from psp.annotations.remarks import Remarks
from psp.annotations.rle import clip
from psp.annotations.shapes import read_shapes
from psp.annotations.splits import folder_split
from psp.errors import PspError

_META = "meta.json"
_MOST_UNPACKED = 1 << 28  # bytes of a bitmap's PNG file
_BITMAPS = ("bitmap", "alpha_mask")


@dataclass(frozen=True, slots=True, eq=False)
class Bitmap:
    """A PNG whose first pixel lies on (left, top); its alpha, or any channel, is what is drawn."""

    left: int
    top: int
    png: bytes

    def cover(self, height: int, width: int) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Region`. Raises ValueError for a broken PNG, and one larger than the picture."""
        try:
            with Image.open(io.BytesIO(self.png), formats=("PNG",)) as picture:
                if picture.width > 2 * width or picture.height > 2 * height:
                    sides = f"{picture.width}x{picture.height}"
                    raise ValueError(f"its bitmap is {sides}, larger than the picture")
                pixels = np.asarray(picture.convert("RGBA") if picture.mode == "P" else picture)
        except ValueError:
            raise
        except Exception:  # Pillow raises many types for a broken file
            raise ValueError("its bitmap is a broken PNG") from None
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            mask = pixels[..., -1] > 0
        else:
            mask = pixels != 0 if pixels.ndim == 2 else (pixels != 0).any(axis=2)
        return clip(self.top, self.left, mask, height, width)


def recognizes(place: Place) -> bool:
    """Whether there is a meta.json of a project, or a file of one picture's objects."""
    if any('"classes"' in place.head(name, 1 << 16) for name in place.named(_META)):
        return any(_is_annotation(name) for name in place.files)
    names = [name for name in place.named(".json") if _is_annotation(name)]
    step = max(1, len(names) // 12)
    return any('"classTitle"' in place.head(name, 1 << 14) for name in names[::step])


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export. Raises PspError for a meta.json that is none."""
    files, remarks = Pictures(place), Remarks()
    colors = _classes(place)
    pictures = [
        _picture(place, name, files, colors, remarks)
        for name in place.named(".json")
        if _is_annotation(name)
    ]
    if not pictures:
        raise PspError(f"{place.given}: no folder 'ann' with annotations. Export it again")
    seen = {s.label for p in pictures if isinstance(p.drawn, tuple) for s in p.drawn}
    classes = tuple(dict.fromkeys([*colors, *sorted(seen)]))
    return Export(
        format="Supervisely",
        classes=classes,
        pictures=tuple(pictures),
        colors={name: color for name, color in colors.items() if color},
        background=background_of(classes),
        ignored=frozenset(filter(means_ignored, classes)),
        remarks=remarks.lines(),
    )


def _is_annotation(name: str) -> bool:
    path = PurePosixPath(name)
    return path.parent.name == "ann" and path.suffix.lower() == ".json"


def _classes(place: Place) -> dict[str, tuple[int, int, int] | None]:
    """Return the classes of the project's meta.json with their colors. Raises PspError."""
    names = [name for name in place.named(_META) if not _is_annotation(name)]
    if not names:
        return {}
    name = min(names, key=lambda n: n.count("/"))
    meta = place.json(name)
    listed = meta.get("classes") if isinstance(meta, dict) else None
    if not isinstance(listed, list):
        raise PspError(f"{place.path(name)}: no list of classes. Export the project again")
    colors: dict[str, tuple[int, int, int] | None] = {}
    for position, value in enumerate(listed):
        title = value.get("title") if isinstance(value, dict) else None
        if not isinstance(title, str) or not title:
            raise PspError(f"{place.path(name)}: classes[{position}]: no title ({short(title)})")
        text = value.get("color")
        try:
            rgb = bytes.fromhex(text.removeprefix("#")) if isinstance(text, str) else b""
        except ValueError:
            rgb = b""
        colors[title] = (rgb[0], rgb[1], rgb[2]) if len(rgb) == 3 else None
    return colors


def _picture(
    place: Place,
    name: str,
    files: Pictures,
    classes: dict[str, tuple[int, int, int] | None],
    remarks: Remarks,
) -> AnnotatedPicture:
    """Return what a file ann/PICTURE.EXT.json says of img/PICTURE.EXT."""
    path, wanted = place.path(name), PurePosixPath(name).stem
    above = PurePosixPath(name).parent.parent.as_posix()
    folder = "" if above == "." else f"{above}/"
    picture = AnnotatedPicture(
        name=folder + stem_of(wanted),
        source=path,
        wanted=wanted,
        image=None,
        split=folder_split(PurePosixPath(above).name),
    )
    try:
        value = place.json(name, keep=False)
    except PspError as error:
        return replace(picture, problem=str(error))
    try:
        if not isinstance(value, dict):
            raise ValueError(f"no annotation file ({short(value)})")
        sides = value.get("size")
        sides = sides if isinstance(sides, dict) else {}
        stated = size(sides.get("width"), sides.get("height"))
        image = files.find(f"img/{wanted}", folder.rstrip("/"), picture.split)
        picture = replace(picture, size=stated, image=image)
        drawn = _shapes(value.get("objects"), classes, f"{name}", remarks)
    except ValueError as error:
        return replace(picture, problem=f"{path}: {error}")
    return replace(picture, drawn=drawn)


def _shapes(
    values: object,
    classes: dict[str, tuple[int, int, int] | None],
    file: str,
    remarks: Remarks,
) -> tuple[Shape, ...]:
    def check(label: str) -> None:
        if classes and label not in classes:
            raise ValueError(f"{short(label)} is not in meta.json")

    return read_shapes(
        values,
        group="objects",
        noun="object",
        key="classTitle",
        check_label=check,
        region=lambda value, item: _region(value, f"{file}: {item}", remarks),
    )


def _region(value: dict[str, Any], where: str, remarks: Remarks) -> Region | None:
    """Return what an object covers, or None for one without area. Raises ValueError."""
    kind = value.get("geometryType")
    if kind in _BITMAPS:
        return _bitmap(value.get("bitmap"))
    given = value.get("points")
    given = given if isinstance(given, dict) else {}
    if kind == "polygon":
        holes = given.get("interior") or []
        if not isinstance(holes, list):
            raise ValueError(f"points.interior is no list ({short(holes)})")
        inner = tuple(points(hole) for hole in holes)
        return Polygon((points(given.get("exterior")),), inner, WHOLE)
    if kind == "rectangle":
        corners = points(given.get("exterior"), 2)
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        ring = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        remarks.add("{n} rectangle{s} painted as region{s}, as Supervisely does", where)
        return Polygon((ring,), fill=WHOLE)
    if not isinstance(kind, str):
        raise ValueError(f"its geometryType is no text ({short(kind)})")
    remarks.add(f"{{n}} object{{s}} of type {short(kind)} left out: no area", where)
    return None


def _bitmap(value: object) -> Bitmap:
    """Return the mask of a bitmap's data and origin. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"bitmap is no object ({short(value)})")
    data, origin = value.get("data"), value.get("origin")
    if not isinstance(data, str):
        raise ValueError(f"bitmap.data is no text ({short(data)})")
    ((left, top),) = points([origin] if isinstance(origin, list) else origin, 1)[:1].tolist()
    try:
        packed = base64.b64decode(data, validate=True)
        unpacker = zlib.decompressobj()
        is_png = packed.startswith(b"\x89PNG")
        png = packed if is_png else unpacker.decompress(packed, _MOST_UNPACKED)
    except (binascii.Error, ValueError, zlib.error):
        raise ValueError("bitmap.data is no packed PNG") from None
    if unpacker.unconsumed_tail:
        raise ValueError("bitmap.data unpacks to more than any mask has")
    return Bitmap(round(left), round(top), png)


SUPERVISELY = Format("Supervisely", recognizes, read)

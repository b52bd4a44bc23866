"""labelme: one JSON file a picture, with shapes of many kinds, and often with the picture in it.

All versions are read; files before `shape_type` have polygons only. A later shape lies on top, as
in labelme's own label image, and so do the widths of lines (10) and points (radius 5). The classes
are those of `labels.txt`, or the labels seen, sorted: the files themselves have no list.
"""

import base64
import binascii
import io
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from psp.annotations.format import Format, ReadOptions
from psp.annotations.numbers import points, short, size
from psp.annotations.pictures import Pictures
from psp.annotations.place import Place
from psp.annotations.polygons import EDGES, Disk, Line, Polygon
from psp.annotations.records import AnnotatedPicture, Export, Region, Shape
from psp.annotations.remarks import Remarks
from psp.annotations.rle import clip
from psp.annotations.shapes import read_shapes
from psp.errors import PspError
from psp.images.labels import decode_label
from psp.images.reading import PictureError

LINE_WIDTH = 10
POINT_RADIUS = 5
IGNORE = "__ignore__"
BACKGROUND = "_background_"
_KEYS = ('"shapes"', '"imageData"', '"imagePath"', '"lineColor"')
_SAMPLES = 12  # files that are looked at to recognize a folder
_OUTLINES = ("polygon", "oriented_rectangle", "rotation")


@dataclass(frozen=True, slots=True, eq=False)
class MaskPatch:
    """A PNG of 0 and 1 laid on the picture; `corners` (2, 2) are the shape's two points."""

    corners: NDArray[np.float64]
    png: bytes

    def cover(self, height: int, width: int) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Region`. Raises ValueError for a broken PNG, and for one of another size."""
        try:
            with Image.open(io.BytesIO(self.png), formats=("PNG",)) as picture:
                sides = picture.size
        except Exception:  # Pillow raises many types for a broken file
            raise ValueError("its mask is no PNG") from None
        if sides[0] > 2 * width or sides[1] > 2 * height:
            raise ValueError(f"its mask is {sides[0]}x{sides[1]}, larger than the picture")
        (left, top), (right, bottom) = np.rint(self.corners).astype(int).tolist()
        spans = (right - left, bottom - top)
        is_whole = bool((self.corners == np.rint(self.corners)).all())
        # Older files write the last pixel's place, newer ones the end.
        more = {side - span for side, span in zip(sides, spans, strict=True)}
        if is_whole and not more <= {0, 1}:
            raise ValueError(
                f"its mask is {sides[0]}x{sides[1]}, but its points are {spans[0]}x{spans[1]} apart"
            )
        try:
            mask = decode_label(self.png, "its mask") != 0
        except PictureError as error:
            raise ValueError(str(error)) from None
        return clip(top, left, mask, height, width)


def recognizes(place: Place) -> bool:
    """Whether some of the JSON files have labelme's keys."""
    names = place.named(".json")
    step = max(1, len(names) // _SAMPLES)
    return any(_has_keys(place, name) for name in names[::step])


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export. Raises PspError for a `labels.txt` that cannot be read."""
    files, remarks, listed = Pictures(place), Remarks(), _listed_labels(place)
    pictures: list[AnnotatedPicture] = []
    same: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for name in place.named(".json"):
        picture, content = _picture(place, name, files, listed, remarks)
        if picture is None:
            remarks.add("{n} JSON file{s} left out, as not labelme's", name)
            continue
        if content:
            same["content", content].append(len(pictures))
        elif picture.image:
            same["file", str(picture.image)].append(len(pictures))
        pictures.append(picture)
    for positions in same.values():
        for position in positions if len(positions) > 1 else ():
            other = pictures[positions[position == positions[0]]].source
            pictures[position] = _with_problem(
                pictures[position], f"{other.name} is for the same picture. Remove one of them"
            )
    seen = sorted({s.label for p in pictures if isinstance(p.drawn, tuple) for s in p.drawn})
    first = (name for name in (IGNORE, BACKGROUND) if name in seen and name not in listed)
    classes = tuple(dict.fromkeys((*first, *(listed or seen))))
    return Export(
        format="labelme",
        classes=classes,
        pictures=tuple(pictures),
        background=BACKGROUND if BACKGROUND in classes else "",
        ignored=frozenset({IGNORE} & set(classes)),
        remarks=remarks.lines(),
    )


def embedded_picture(path: Path) -> bytes:
    """Return the picture file in a labelme file's `imageData`. Raises PspError if there is none."""
    value = Place(path).json(path.name, keep=False)
    text = value.get("imageData") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise PspError(f"{path}: imageData: no picture in it")
    try:
        return _from_base64(text)
    except ValueError as error:
        raise PspError(f"{path}: imageData: {error}. Save the file again with labelme") from None


def _has_keys(place: Place, name: str) -> bool:
    head = place.head(name)
    return any(key in head for key in _KEYS)


def _listed_labels(place: Place) -> tuple[str, ...]:
    """Return the lines of the first `labels.txt`, or nothing if there is none."""
    names = [n for n in place.files if PurePosixPath(n).name.lower() == "labels.txt"]
    if not names and (place.root / "labels.txt").is_file():  # beside the one file that was named
        names = ["labels.txt"]
    if not names:
        return ()
    lines = place.text(min(names, key=lambda n: n.count("/"))).splitlines()
    return tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _picture(
    place: Place, name: str, files: Pictures, listed: tuple[str, ...], remarks: Remarks
) -> tuple[AnnotatedPicture | None, str]:
    """Return what a file says, and a sum of its `imageData`; None for a file of another kind."""
    path, near = place.path(name), name.rpartition("/")[0]
    stem = name[: -len(".json")]
    picture = AnnotatedPicture(name=stem, source=path, wanted=PurePosixPath(stem).name, image=None)
    beside = _beside(files, picture.wanted, near)
    if not _has_keys(place, name) and beside is None:
        return None, ""
    try:
        value = place.json(name, keep=False)
    except PspError as error:
        return replace(picture, image=beside, problem=str(error)), ""
    if not isinstance(value, dict) or "shapes" not in value:
        return None, ""
    try:
        picture, content = _pictured(picture, value, files, near, beside)
        drawn = _shapes(value["shapes"], listed, picture, remarks)
    except ValueError as error:
        return _with_problem(picture, str(error)), ""
    return replace(picture, drawn=drawn), content


def _beside(files: Pictures, stem: str, near: str) -> Path | None:
    try:
        return files.find(stem, near)
    except ValueError:  # several of this stem: imagePath says which
        return None


def _pictured(
    picture: AnnotatedPicture,
    value: dict[str, Any],
    files: Pictures,
    near: str,
    beside: Path | None,
) -> tuple[AnnotatedPicture, str]:
    """Add the picture that is meant: imageData before imagePath before the file's own name."""
    data, wanted = value.get("imageData"), value.get("imagePath")
    if not isinstance(data, str | None):
        raise ValueError(f"imageData is no text ({short(data)})")
    if not isinstance(wanted, str | None):
        raise ValueError(f"imagePath is no text ({short(wanted)})")
    stated = size(value.get("imageWidth"), value.get("imageHeight"))
    if wanted and not wanted.lower().endswith(".json"):
        picture = replace(picture, wanted=wanted)
        beside = files.find(wanted, near) or beside
    picture = replace(picture, image=beside, size=stated, embedded=bool(data))
    return picture, f"{len(data)} {hash(data)}" if data else ""


def _shapes(
    values: object, listed: tuple[str, ...], picture: AnnotatedPicture, remarks: Remarks
) -> tuple[Shape, ...]:
    def check(label: str) -> None:
        if listed and label not in (*listed, IGNORE, BACKGROUND):
            raise ValueError(f"{short(label)} is not in labels.txt. Add it there, or correct it")

    return read_shapes(
        values,
        group="shapes",
        noun="shape",
        key="label",
        check_label=check,
        region=lambda value, item: _region(value, f"{picture.source.name}: {item}", remarks),
    )


def _region(value: dict[str, Any], where: str, remarks: Remarks) -> Region | None:
    """Return what a shape covers, or None for one without area. Raises ValueError."""
    kind, given = value.get("shape_type") or "polygon", value.get("points")
    if kind in _OUTLINES:
        return Polygon((points(given),), fill=EDGES)
    if kind == "rectangle":
        corners = points(given, 2)
        if len(corners) == 2:
            (left, top), (right, bottom) = corners
            corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        return Polygon((_exactly(corners, 4),), fill=EDGES)
    if kind == "circle":
        (x, y), rim = _exactly(points(given, 2), 2).tolist()
        return Disk(x, y, math.dist((x, y), rim))
    if kind in ("line", "linestrip"):
        remarks.add(f"{{n}} line{{s}} painted {LINE_WIDTH} pixels wide, as labelme does", where)
        return Line(points(given, 2), LINE_WIDTH)
    if kind == "point":
        radius = POINT_RADIUS
        remarks.add(f"{{n}} point{{s}} painted as disk of radius {radius}, as labelme does", where)
        ((x, y),) = _exactly(points(given, 1), 1).tolist()
        return Disk(x, y, radius)
    if kind == "points":
        remarks.add("{n} shape{s} of type 'points' left out: no area", where)
        return None
    if kind == "mask":
        text = value.get("mask")
        if not isinstance(text, str):
            raise ValueError(f"its mask is no text ({short(text)})")
        return MaskPatch(_exactly(points(given, 2), 2), _from_base64(text))
    raise ValueError(f"shapes of type {short(kind)} are not known")


def _exactly(given: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    if len(given) != count:
        raise ValueError(f"{len(given)} points, where {count} are needed")
    return given


def _from_base64(text: str) -> bytes:
    """Return what a base64 text holds; it may be a data: URL. Raises ValueError."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is no base64 text") from None
    if not data:
        raise ValueError("it is empty")
    return data


def _with_problem(picture: AnnotatedPicture, reason: str) -> AnnotatedPicture:
    """Return the record with its first problem, naming the file."""
    return picture if picture.problem else replace(picture, problem=f"{picture.source}: {reason}")


LABELME = Format("labelme JSON", recognizes, read)

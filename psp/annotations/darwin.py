"""V7 Darwin 2.0: one JSON file a picture, with polygons, or with a raster layer of run lengths.

A polygon's `paths` are rings of which those inside of others are holes (the even-odd rule); they
are rounded and filled by OpenCV, as darwin-py does. A later annotation lies on top. Boxes and lines
are no regions there.
"""

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.annotations.format import Format, ReadOptions
from psp.annotations.numbers import Points, points, short, size
from psp.annotations.pictures import Pictures, path_parts, stem_of
from psp.annotations.place import Place
from psp.annotations.polygons import WHOLE, Polygon
from psp.annotations.records import AnnotatedPicture, Export, Region, Shape
from psp.annotations.remarks import Remarks
from psp.annotations.rle import BoxRuns, value_runs
from psp.annotations.splits import folders_split
from psp.errors import PspError

_MARKS = ("darwin_json", '"slots"')
_LEFT_OUT = {
    "bounding_box": "of a box alone",
    "line": "of a line",
    "keypoint": "of a point",
    "skeleton": "of a skeleton",
    "ellipse": "of an ellipse",
    "tag": "of a whole picture",
    "cuboid": "of a cuboid",
}


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """What lies in an odd number of rings, each (n, 2) of x and y."""

    rings: tuple[Points, ...]

    def cover(self, height: int, width: int) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Region`. Raises ValueError if all of it lies outside of the picture."""
        if len(self.rings) == 1:
            return Polygon(self.rings, fill=WHOLE).cover(height, width)
        # The box of all rings; each is then laid into it.
        top, left, whole = Polygon(self.rings, fill=WHOLE).cover(height, width)
        odd = np.zeros(whole.shape, bool)
        for ring in self.rings:
            y, x, mask = Polygon((ring,), fill=WHOLE).cover(height, width)
            odd[y - top : y - top + mask.shape[0], x - left : x - left + mask.shape[1]] ^= mask
        return top, left, odd


def recognizes(place: Place) -> bool:
    """Whether some of the JSON files are Darwin's."""
    names = place.named(".json")
    return any(_is_darwin(place, name) for name in names[:: max(1, len(names) // 12)])


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export; what is wrong with a file is its picture's problem."""
    files, remarks = Pictures(place), Remarks()
    pictures: list[AnnotatedPicture] = []
    for name in place.named(".json"):
        if not _is_darwin(place, name):
            remarks.add("{n} JSON file{s} left out, as not Darwin's", name)
            continue
        pictures.append(_picture(place, name, files, remarks))
    if not pictures:
        raise PspError(f"{place.given}: no Darwin file in it. Export again as Darwin JSON 2.0")
    seen = {s.label for p in pictures if isinstance(p.drawn, tuple) for s in p.drawn}
    return Export(
        format="V7 Darwin 2.0",
        classes=tuple(sorted(seen)),
        pictures=tuple(pictures),
        remarks=remarks.lines(),
    )


def _is_darwin(place: Place, name: str) -> bool:
    head = place.head(name)
    return any(mark in head for mark in _MARKS) and '"item"' in head


def _picture(place: Place, name: str, files: Pictures, remarks: Remarks) -> AnnotatedPicture:
    path, near = place.path(name), name.rpartition("/")[0]
    picture = AnnotatedPicture(
        name=name[: -len(".json")],
        source=path,
        wanted=PurePosixPath(name).stem,
        image=None,
        split=folders_split(name),
    )
    try:
        value = place.json(name, keep=False)
    except PspError as error:
        return replace(picture, problem=str(error))
    try:
        if not isinstance(value, dict):
            raise ValueError(f"no Darwin file ({short(value)})")
        item = _object(value, "item")
        wanted, folder = _text(item, "name"), item.get("path")
        folders = "/".join(path_parts(folder)) if isinstance(folder, str) else ""
        slots = item.get("slots")
        if not isinstance(slots, list) or not slots or not isinstance(slots[0], dict):
            raise ValueError("item.slots: no list of slots")
        if slots[0].get("type", "image") != "image":
            raise ValueError("item.slots[0]: a video or document. Export its frames as pictures")
        stated = size(slots[0].get("width"), slots[0].get("height"))
        whole = f"{folders}/{wanted}" if folders else wanted
        picture = replace(picture, name=stem_of(whole) or picture.name, wanted=whole, size=stated)
        picture = replace(picture, image=files.find(whole, near, picture.split))
        drawn = _shapes(value.get("annotations", []), stated, name, remarks)
    except ValueError as error:
        return replace(picture, problem=f"{path}: {error}")
    return replace(picture, drawn=drawn)


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        raise ValueError(f"{key} is no object ({short(found)})")
    return found


def _text(value: dict[str, Any], key: str) -> str:
    found = value.get(key)
    if not isinstance(found, str) or not found.strip("/\\. "):
        raise ValueError(f"its {key} is no text ({short(found)})")
    return found


def _shapes(
    values: object, stated: tuple[int, int] | None, file: str, remarks: Remarks
) -> tuple[Shape, ...]:
    if not isinstance(values, list):
        raise ValueError(f"annotations is no list ({short(values)})")
    layer = next((v for v in values if isinstance(v, dict) and "raster_layer" in v), None)
    shapes: list[Shape] = []
    for position, value in enumerate(values):
        item = f"annotations[{position}]"
        try:
            if not isinstance(value, dict):
                raise ValueError(f"no annotation ({short(value)})")
            if value is layer:
                continue
            label = _text(value, "name")
            region: Region | None = None
            if "polygon" in value:
                region = _polygon(_object(value, "polygon"))
            elif "mask" in value:
                region = _raster(layer, value.get("id"), stated)
            else:
                kind = next((k for k in _LEFT_OUT if k in value), "")
                what = _LEFT_OUT.get(kind, "of a kind that is not known")
                remarks.add(f"{{n}} annotation{{s}} {what} left out", f"{file}: {item}")
        except ValueError as error:
            raise ValueError(f"{item}: {error}") from None
        if region is not None:
            shapes.append(Shape(label, region, item))
    return tuple(shapes)


def _polygon(value: dict[str, Any]) -> Rings:
    """Return the rings of a polygon: `paths`, or `path` as older files have. Raises ValueError."""
    paths = value.get("paths", [value.get("path")])
    if not isinstance(paths, list) or not paths:
        raise ValueError(f"polygon.paths is no list ({short(paths)})")
    rings = []
    for path in paths:
        if not isinstance(path, list) or not all(isinstance(p, dict) for p in path):
            raise ValueError(f"polygon.paths holds no lists of points ({short(path)})")
        ring = points([[point.get("x"), point.get("y")] for point in path])
        rings.append(np.rint(ring))  # as darwin-py does before it fills
    return Rings(tuple(rings))


def _raster(layer: dict[str, Any] | None, number: object, stated: object) -> Region:
    """Return the pixels of one annotation in the raster layer. Raises ValueError."""
    if layer is None:
        raise ValueError("a mask, but the file has no raster_layer")
    raster = _object(layer, "raster_layer")
    mapping = _object(raster, "mask_annotation_ids_mapping")
    wanted = mapping.get(number) if isinstance(number, str) else None
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 0 < wanted < 1 << 31:
        raise ValueError("its id is not in the raster_layer's mask_annotation_ids_mapping")
    if not isinstance(stated, tuple):
        raise ValueError("a mask in a file without the picture's size")
    return BoxRuns(0, 0, stated[0], stated[1], value_runs(raster.get("dense_rle"), wanted))


DARWIN = Format("V7 Darwin 2.0", recognizes, read)

"""COCO instances: pictures, categories, and annotations of polygons or run lengths, in one file.

Several files are splits, by their names or folders: `annotations/instances_train.json`, or
Roboflow's `train/_annotations.coco.json`. A later annotation lies on top; there is no other order
in the files. `iscrowd` only says that run lengths are used, and is no reason to leave anything out.
"""

from dataclasses import replace
from typing import Any

from psp.annotations.coco_file import (
    CocoFile,
    add_pictures,
    background_of,
    classes_of,
    coco_file,
    coco_values,
    colors_of,
    give_problem,
    has_key,
    id_of,
    is_broken_coco,
)
from psp.annotations.format import Format, ReadOptions
from psp.annotations.numbers import points, short
from psp.annotations.place import Place
from psp.annotations.polygons import Polygon
from psp.annotations.records import AnnotatedPicture, Export, Region, Shape
from psp.annotations.remarks import Remarks
from psp.annotations.rle import coco_region
from psp.errors import PspError

_BOXES = "{n} annotation{s} of a box alone left out: that is no mask"


def recognizes(place: Place) -> bool:
    """Whether a JSON file has pictures and annotations that are no panoptic ones, or is broken."""
    return bool(_instances(coco_values(place))) or is_broken_coco(place)


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export.

    Raises PspError for broken JSON, wrong categories, and two files about the same pictures.
    """
    remarks = Remarks()
    values = _instances(coco_values(place, strict=True))
    if not values:
        raise PspError(f"{place.given}: no COCO file with images, annotations and categories")
    others = [n for n, v in values.items() if "categories" not in v or has_key(v, "keypoints")]
    if len(others) < len(values):
        for name in others:
            remarks.add("{n} file{s} of captions or keypoints left out", name)
            del values[name]
    files = [coco_file(place, name, value) for name, value in values.items()]
    add_pictures(place, files, (), remarks)
    pictures: list[AnnotatedPicture] = []
    used: set[str] = set()
    for file in files:
        pictures += _annotated(file, used, remarks)
    dummies = {
        category.item
        for file in files
        for number, category in file.categories.items()
        if number == 0 and category.supercategory == "none" and category.item not in used
    }
    if len(dummies) < sum(0 in file.categories for file in files):
        dummies = set()  # a split uses it
    classes = classes_of(files, dummies)
    return Export(
        format="COCO instances",
        classes=classes,
        pictures=tuple(pictures),
        colors={name: color for name, color in colors_of(files).items() if name in classes},
        background=background_of(classes),
        remarks=remarks.lines(),
    )


def _instances(values: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the files that are not panoptic; beside those, files without any annotation are."""
    others = {n: v for n, v in values.items() if not has_key(v, "segments_info")}
    if len(others) < len(values):
        others = {name: value for name, value in others.items() if value["annotations"]}
    return others


def _annotated(file: CocoFile, used: set[str], remarks: Remarks) -> list[AnnotatedPicture]:
    """Return a file's pictures with what was drawn on them; `used` are the categories' items."""
    shapes: dict[int | str, list[Shape]] = {number: [] for number in file.pictures}
    for position, annotation in enumerate(file.annotations):
        item = f"annotations[{position}]"
        number = id_of(annotation.get("image_id")) if isinstance(annotation, dict) else None
        if number is None or number not in shapes:
            text = "{n} annotation{s} left out: not of a listed picture"
            remarks.add(text, f"{file.name}: {item}")
            continue
        try:
            kind = id_of(annotation.get("category_id"))
            if kind is None or kind not in file.categories:
                shown = short(annotation.get("category_id"))
                raise ValueError(f"its category_id {shown} is not in categories")
            used.add(file.categories[kind].item)
            region = _region(annotation)
        except ValueError as error:
            give_problem(file, number, f"{item}: {error}")
            continue
        if region is None:
            remarks.add(_BOXES, f"{file.name}: {item}")
        else:
            shapes[number].append(Shape(file.categories[kind].name, region, item))
    return [
        _with_shapes(picture, tuple(shapes[number])) for number, picture in file.pictures.items()
    ]


def _region(annotation: dict[str, Any]) -> Region | None:
    """Return what an annotation covers, or None for a box alone. Raises ValueError."""
    given = annotation.get("segmentation")
    if given in (None, [], {}) or (isinstance(given, list) and all(g == [] for g in given)):
        return None
    if isinstance(given, dict):
        return coco_region(given)
    if not isinstance(given, list):
        raise ValueError(f"its segmentation is neither polygons nor RLE ({short(given)})")
    # Some tools forget the outer list of the only polygon.
    rings = [ring for ring in given if ring != []] if isinstance(given[0], list) else [given]
    return Polygon(tuple(points(ring) for ring in rings))


def _with_shapes(picture: AnnotatedPicture, shapes: tuple[Shape, ...]) -> AnnotatedPicture:
    return replace(picture, drawn=() if picture.problem else shapes)


COCO = Format("COCO instances", recognizes, read)

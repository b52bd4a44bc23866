"""COCO panoptic: a JSON file, and a folder of RGB pictures whose colors are numbers of segments.

A segment's number is R + 256 G + 65536 B. Number 0 was not labeled, and is ignored.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from psp.annotations.coco_file import (
    CocoFile,
    Id,
    add_pictures,
    background_of,
    classes_of,
    coco_file,
    coco_values,
    colors_of,
    give_problem,
    has_key,
    id_of,
)
from psp.annotations.format import Format, ReadOptions
from psp.annotations.numbers import short
from psp.annotations.pictures import Pictures
from psp.annotations.place import Place
from psp.annotations.records import AnnotatedPicture, Export, MaskFile
from psp.annotations.remarks import Remarks

_LARGEST = (1 << 24) - 1


def recognizes(place: Place) -> bool:
    """Whether a JSON file has annotations with segments."""
    return any(has_key(value, "segments_info") for value in coco_values(place).values())


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export. Raises PspError for wrong categories and for two files about the same."""
    remarks = Remarks()
    values = coco_values(place, strict=True)
    files = [coco_file(place, n, v) for n, v in values.items() if has_key(v, "segments_info")]
    masks = {file.name: _mask_paths(place, file) for file in files}
    paths = {path for found in masks.values() for path in found.values() if isinstance(path, Path)}
    add_pictures(place, files, paths, remarks)
    pictures: list[AnnotatedPicture] = []
    for file in files:
        pictures += _annotated(file, masks[file.name], remarks)
    classes = classes_of(files)
    return Export(
        format="COCO panoptic",
        classes=classes,
        pictures=tuple(pictures),
        colors=colors_of(files),
        background=background_of(classes),
        remarks=remarks.lines(),
    )


def _mask_paths(place: Place, file: CocoFile) -> dict[int, Path | str]:
    """Return each annotation's mask by position; or what is wrong with it, as a text."""
    folder = file.name[: -len(".json")]
    pictures = Pictures(place)
    paths: dict[int, Path | str] = {}
    for position, annotation in enumerate(file.annotations):
        wanted = annotation.get("file_name") if isinstance(annotation, dict) else None
        try:
            found = pictures.find(wanted, folder, file.split) if isinstance(wanted, str) else None
        except ValueError as error:
            paths[position] = str(error)
            continue
        is_png = found is not None and found.suffix.lower() == ".png"
        paths[position] = found if found and is_png else f"its mask {short(wanted)} is not there"
    return paths


def _annotated(
    file: CocoFile, masks: Mapping[int, Path | str], remarks: Remarks
) -> list[AnnotatedPicture]:
    """Return a file's pictures with their masks."""
    drawn: dict[Id, MaskFile] = {}
    for position, annotation in enumerate(file.annotations):
        item = f"annotations[{position}]"
        number = id_of(annotation.get("image_id")) if isinstance(annotation, dict) else None
        if number is None or number not in file.pictures:
            text = "{n} annotation{s} left out: not of a listed picture"
            remarks.add(text, f"{file.name}: {item}")
            continue
        try:
            if number in drawn:
                raise ValueError("a second mask of the same picture. Remove one of them")
            path = masks[position]
            if isinstance(path, str):
                raise ValueError(path)
            names = _names(annotation, file)
        except ValueError as error:
            give_problem(file, number, f"{item}: {error}")
            continue
        drawn[number] = MaskFile(path, "segments", names, ignored=frozenset({0}))
    return [
        replace(
            picture,
            drawn=() if picture.problem or number not in drawn else drawn[number],
            seen=frozenset(drawn[number].names.values()) if number in drawn else None,
        )
        for number, picture in file.pictures.items()
    ]


def _names(annotation: dict[str, Any], file: CocoFile) -> dict[int, str]:
    """Return the class of each segment. Raises ValueError."""
    segments = annotation.get("segments_info")
    if not isinstance(segments, list):
        raise ValueError(f"its segments_info is no list ({short(segments)})")
    names: dict[int, str] = {}
    for position, segment in enumerate(segments):
        item = f"segments_info[{position}]"
        number = segment.get("id") if isinstance(segment, dict) else None
        if type(number) is not int or not 0 < number <= _LARGEST:
            raise ValueError(f"{item}: its id is no color from 1 up ({short(number)})")
        kind = id_of(segment.get("category_id"))
        if kind is None or kind not in file.categories:
            shown = short(segment.get("category_id"))
            raise ValueError(f"{item}: its category_id {shown} is not in categories")
        if names.setdefault(number, file.categories[kind].name) != file.categories[kind].name:
            raise ValueError(f"{item}: id {number} stands twice, with another category")
    return names


PANOPTIC = Format("COCO panoptic", recognizes, read)

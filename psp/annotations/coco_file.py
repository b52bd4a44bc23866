"""What COCO's instances and panoptic files share: pictures and categories, each with an id."""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from psp.annotations.numbers import short, size
from psp.annotations.pictures import Pictures, stem_of
from psp.annotations.place import Place
from psp.annotations.records import AnnotatedPicture
from psp.annotations.remarks import Remarks
from psp.annotations.splits import split_of
from psp.errors import PspError

Id = int | str  # pictures have texts as ids here and there

_HEADS = ('"images"', '"annotations"', '"categories"', '"info"', '"licenses"')
_BACKGROUND = ("background", "_background_", "__background__")


@dataclass(frozen=True)
class Category:
    """A category, and where it stands in its file."""

    name: str
    item: str
    supercategory: object = None
    color: tuple[int, int, int] | None = None


@dataclass
class CocoFile:
    """One file; `pictures` are its records by id, and `positions` where they stand in the file."""

    name: str
    path: Path
    split: str
    images: list[Any]
    annotations: list[Any]
    categories: dict[Id, Category]
    pictures: dict[Id, AnnotatedPicture] = field(default_factory=dict)


def coco_values(place: Place, *, strict: bool = False) -> dict[str, dict[str, Any]]:
    """Return what the JSON files hold that are COCO's, by name.

    Broken files are left out, or, if `strict`, raise PspError.
    """
    values = {}
    for name in place.named(".json"):
        head = _head(place, name)
        if not any(key in head for key in _HEADS):
            continue
        try:
            value = place.json(name)
        except PspError:
            if strict and ('"images"' in head or '"annotations"' in head):
                raise
            continue
        if isinstance(value, dict) and "images" in value and "annotations" in value:
            values[name] = value
    return values


def is_broken_coco(place: Place) -> bool:
    """Whether a JSON file begins like COCO's, but cannot be read."""
    for name in place.named(".json"):
        head = _head(place, name)
        if sum(key in head for key in _HEADS) > 1:
            try:
                place.json(name)
            except PspError:
                return True
    return False


def _head(place: Place, name: str) -> str:
    """Return a file's beginning, or "" if it is another tool's with the same words in it."""
    head = place.head(name)
    others = ('"shapes"', '"schema_ref"', '"slots"', '"items"')
    return "" if head.lstrip()[:1] != "{" or any(key in head for key in others) else head


def has_key(value: dict[str, Any], key: str) -> bool:
    """Whether one of the annotations has this key."""
    items = value["annotations"]
    return isinstance(items, list) and any(isinstance(i, dict) and key in i for i in items)


def coco_file(place: Place, name: str, value: dict[str, Any]) -> CocoFile:
    """Return a file with its categories. Raises PspError for one that is none."""
    path = place.path(name)
    for key in ("images", "annotations", "categories"):
        if not isinstance(value.get(key), list):
            raise PspError(f"{path}: {key} is no list ({short(value.get(key))}). Export it again")
    categories: dict[Id, Category] = {}
    for position, item in enumerate(value["categories"]):
        where = f"{path}: categories[{position}]"
        if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"]:
            raise PspError(f"{where}: no category with a name ({short(item)}). Correct it")
        number = id_of(item.get("id"))
        if number is None:
            raise PspError(
                f"{where}: {short(item['name'])} has no id ({short(item.get('id'))}). Correct it"
            )
        if number in categories and categories[number].name != item["name"]:
            raise PspError(
                f"{where}: {short(item['name'])} has the id {short(number)} of "
                f"{short(categories[number].name)}. Correct one of them"
            )
        categories[number] = Category(
            item["name"], where, item.get("supercategory"), _color(item.get("color"))
        )
    return CocoFile(name, path, split_of(name), value["images"], value["annotations"], categories)


def add_pictures(
    place: Place, files: Sequence[CocoFile], masks: Collection[Path], remarks: Remarks
) -> None:
    """Read the pictures of all files, and find theirs; a picture that stands twice has a problem.

    Raises PspError for two files of one split that are about the same pictures.
    """
    pictures = Pictures(place, without=masks)
    places: defaultdict[tuple[str, str], list[tuple[CocoFile, Id, str]]] = defaultdict(list)
    for file in files:
        near = file.name.rpartition("/")[0]
        for position, item in enumerate(file.images):
            where = f"images[{position}]"
            number = id_of(item.get("id")) if isinstance(item, dict) else None
            if number is None:
                remarks.add("{n} picture{s} left out, without an id", f"{file.name}: {where}")
                continue
            if number in file.pictures:
                file.pictures[number] = _with_problem(
                    file.pictures[number], f"{where} has the same id {short(number)}. Correct it"
                )
                continue
            picture = _picture(file, item, where, pictures, near)
            file.pictures[number] = picture
            if picture.wanted:
                key = str(picture.image) if picture.image else picture.wanted
                places[key, picture.split].append((file, number, where))
    _mark_doubles(list(places.values()), files)


def _picture(
    file: CocoFile, item: dict[str, Any], where: str, pictures: Pictures, near: str
) -> AnnotatedPicture:
    # Without file_name, as some services write it: their own path, or where the picture came from.
    wanted = next((item[key] for key in ("file_name", "path", "coco_url") if item.get(key)), None)
    picture = AnnotatedPicture(
        name=f"{file.name}-{where}", source=file.path, wanted="", image=None, split=file.split
    )
    if not isinstance(wanted, str) or not stem_of(wanted):
        return _with_problem(picture, f"{where}: no file_name ({short(wanted)})")
    picture = replace(picture, name=stem_of(wanted), wanted=wanted)
    try:
        picture = replace(picture, size=size(item.get("width"), item.get("height")))
        return replace(picture, image=pictures.find(wanted, near, file.split))
    except ValueError as error:
        return _with_problem(picture, f"{where}: {error}")


def _mark_doubles(
    places: Sequence[Sequence[tuple[CocoFile, Id, str]]], files: Sequence[CocoFile]
) -> None:
    """Give the pictures that stand twice a problem. Raises PspError if all of a file do."""
    doubles = [entries for entries in places if len(entries) > 1]
    shared: defaultdict[tuple[str, str], int] = defaultdict(int)
    for entries in doubles:
        names = dict.fromkeys(file.name for file, _, _ in entries)
        for pair in zip(names, list(names)[1:], strict=False):
            shared[pair] += 1
    by_name = {file.name: file for file in files}
    for (one, other), count in shared.items():
        if count * 2 > min(len(by_name[one].pictures), len(by_name[other].pictures)):
            raise PspError(
                f"{by_name[one].path} and {other} are about the same pictures. Give one of the "
                "two files alone, or remove one"
            )
    for entries in doubles:
        for file, number, where in entries:
            twin, _, place = next(e for e in entries if e[0] is not file or e[1] != number)
            beside = place if twin is file else f"{twin.name}: {place}"
            file.pictures[number] = _with_problem(
                file.pictures[number], f"{where}: {beside} is the same picture. Remove one of them"
            )


def classes_of(files: Sequence[CocoFile], left_out: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of the categories in the order of their ids, file by file."""
    names: dict[str, None] = {}
    for file in files:
        for number in sorted(file.categories, key=lambda n: (isinstance(n, str), n)):
            category = file.categories[number]
            if category.item not in left_out:
                names.setdefault(category.name)
    return tuple(names)


def colors_of(files: Sequence[CocoFile]) -> dict[str, tuple[int, int, int]]:
    """Return the colors of categories that have one."""
    categories = (c for file in files for c in file.categories.values())
    return {category.name: category.color for category in categories if category.color}


def background_of(classes: Sequence[str]) -> str:
    """Return the class that is named as the background, or ""."""
    return next((name for name in classes if name.lower() in _BACKGROUND), "")


def give_problem(file: CocoFile, number: Id, reason: str) -> None:
    """Give a picture its first problem."""
    file.pictures[number] = _with_problem(file.pictures[number], reason)


def id_of(value: object) -> Id | None:
    """Return an id: a whole number of any size, or a text; None for what cannot be one.

    Some tools write "5" in one place and 5 or 5.0 in the other.
    """
    if isinstance(value, str):
        return int(value) if re.fullmatch("0|[1-9][0-9]{0,18}", value) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _with_problem(picture: AnnotatedPicture, reason: str) -> AnnotatedPicture:
    return picture if picture.problem else replace(picture, problem=f"{picture.source}: {reason}")


def _color(value: object) -> tuple[int, int, int] | None:
    if not isinstance(value, list) or len(value) != 3:
        return None
    if not all(type(part) is int and 0 <= part < 256 for part in value):
        return None
    return value[0], value[1], value[2]

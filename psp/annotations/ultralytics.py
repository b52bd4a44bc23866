"""Ultralytics: a data file in YAML, pictures, and text files of polygons, or masks.

A label file has a line for each polygon: the class's number, then x and y as parts of the picture's
size; it lies where the picture does, in a folder `labels` instead of `images`. With `masks_dir` in
the data file, masks in that folder are read instead: values are numbers of classes, 255 is ignored.
Large polygons are painted first, so that small ones lie on top; coordinates are cut to pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

from psp.annotations.format import Format, ReadOptions
from psp.annotations.numbers import points, short
from psp.annotations.pictures import PICTURES, path_parts
from psp.annotations.place import Place
from psp.annotations.polygons import WHOLE, RelativePolygon
from psp.annotations.records import (
    LARGE_FIRST,
    AnnotatedPicture,
    Export,
    MaskFile,
    Shape,
)
from psp.annotations.remarks import Remarks
from psp.annotations.yaml_subset import read_yaml
from psp.errors import PspError

_SPLITS = ("train", "val", "test")
_MASKS = (".png", ".PNG", ".bmp", ".BMP", ".tif", ".TIF", ".tiff", ".TIFF")
_IGNORED = 255
_LARGEST = 1 << 20  # bytes of a data file


@dataclass(frozen=True)
class _DataFile:
    """A data file; `splits` are names of folders or lists, as it writes them."""

    name: str
    path: Path
    root: str
    splits: Mapping[str, Sequence[str]]
    names: Mapping[int, str]
    masks: str


def recognizes(place: Place) -> bool:
    """Whether a YAML file has names of classes and a split."""
    return bool(_data_files(place))


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export.

    Raises PspError for a data file that cannot be read, for several of them, and for none of its
    splits being there.
    """
    files = _data_files(place)
    if len(files) > 1:
        raise PspError(f"{place.path(files[0])} and {files[1]} are data files: give one of them")
    if place.given.is_file():
        place = Place(place.root)
    data, remarks = _data_file(place, files[0]), Remarks()
    pictures: list[AnnotatedPicture] = []
    seen: dict[str, str] = {}
    for split, entries in data.splits.items():
        found = [name for entry in entries for name in _entry(place, data, entry)]
        if not found:
            remarks.add(f"no pictures or labels in {', '.join(entries)} ({split})", data.path.name)
        for name in dict.fromkeys(found):
            if seen.setdefault(name, split) != split:
                remarks.add(f"{{n}} picture{{s}} of {split} left out: in {seen[name]}, too", name)
                continue
            pictures.append(_annotated(place, data, name, split, remarks))
    if not pictures:
        raise PspError(
            f"{data.path}: none of the folders that it names has pictures or labels "
            f"({', '.join(e for entries in data.splits.values() for e in entries)})"
        )
    return Export(
        format="Ultralytics masks" if data.masks else "Ultralytics polygons",
        classes=tuple(dict.fromkeys(data.names[n] for n in sorted(data.names))),
        pictures=tuple(pictures),
        order=LARGE_FIRST,
        remarks=remarks.lines(),
    )


def is_label_file(place: Place, name: str) -> bool:
    """Whether a text file's first line is a class's number and parts of a picture's size."""
    words = place.head(name).strip().partition("\n")[0].split()
    try:
        values = [float(word) for word in words[1:]]
    except ValueError:
        return False
    is_class = len(words) > 4 and words[0].isdecimal()
    return is_class and all(0 <= value <= 1 for value in values)


def _data_files(place: Place) -> list[str]:
    found = []
    for name in place.named(".yaml", ".yml"):
        lines = place.head(name, _LARGEST).splitlines()
        keys = {line.partition(":")[0].strip("\"' ") for line in lines if ":" in line}
        if {"names", "nc"} & keys and {"train", "val", "test", "path"} & keys:
            found.append(name)
    return found


def _data_file(place: Place, name: str) -> _DataFile:
    path = place.path(name)
    if place.size(name) > _LARGEST:
        raise PspError(f"{path}: too large for a data file ({place.size(name)} bytes)")
    values = read_yaml(place.text(name), path)
    if values.get("kpt_shape") is not None:
        raise PspError(f"{path}: kpt_shape: these are labels of keypoints, and no masks")
    splits = {}
    for split in _SPLITS:
        entries = values.get(split)
        entries = entries if isinstance(entries, list) else [entries] if entries else []
        if not all(isinstance(entry, str) and entry for entry in entries):
            raise PspError(f"{path}: {split} is no folder or list of folders. Correct it")
        if entries:
            splits[split] = entries
    if "val" not in splits and isinstance(values.get("valid"), str):
        splits["val"] = [values["valid"]]
    root, masks = values.get("path") or "", values.get("masks_dir") or ""
    if not isinstance(root, str) or not isinstance(masks, str):
        raise PspError(f"{path}: path and masks_dir are names of folders. Correct it")
    return _DataFile(name, path, root, splits, _names(values, path), masks.strip("/"))


def _names(values: Mapping[str, Any], path: Path) -> dict[int, str]:
    """Return the classes by number. Raises PspError."""
    given, count = values.get("names"), values.get("nc")
    number = int(count) if isinstance(count, str) and count.isdecimal() and len(count) < 6 else None
    if given is None and number:
        return {n: f"class_{n}" for n in range(number)}
    if isinstance(given, list):
        given = {str(position): name for position, name in enumerate(given)}
    names: dict[int, str] = {}
    for key, name in given.items() if isinstance(given, dict) else ():
        if not (key.isdecimal() and len(key) < 6) or not isinstance(name, str) or not name.strip():
            raise PspError(f"{path}: names: '{key}: {name}' is no number with a name. Correct it")
        names[int(key)] = name.strip()
    if not names:
        raise PspError(f"{path}: names: no list or mapping with the classes' names. Add it")
    if number is not None and number != len(names):
        raise PspError(f"{path}: nc is {number}, but names has {len(names)}. Correct one of them")
    return names


def _entry(place: Place, data: _DataFile, entry: str) -> list[str]:
    """Return what a split's folder or list has: paths of pictures, or of label files alone.

    The folder is looked for from `path`, and from the data file's own folder: exports are moved.
    """
    entry = entry.replace("\\", "/").rstrip("/") or "."
    own = PurePosixPath(data.name).parent.as_posix()
    for root in dict.fromkeys((data.root.replace("\\", "/"), PurePosixPath(data.root).name, "")):
        for part in dict.fromkeys((entry, _inner(entry))):
            folder = normpath(f"{own}/{root}/{part}")
            if part.startswith("/") or root.startswith("/"):
                folder = _below(place, part if part.startswith("/") else f"{root}/{part}")
            found = _listed(place, folder) if folder.endswith(".txt") else _inside(place, folder)
            if found:
                return found
    return []


def _inner(entry: str) -> str:
    """Return a path without what leads out: Roboflow writes `../train/images`."""
    parts = [part for part in entry.split("/") if part not in ("..", ".", "")]
    return "/".join(parts) or "."


def _below(place: Place, absolute: str) -> str:
    """Return an absolute path as one below the place, or one that is not there."""
    root = place.root.resolve().as_posix()
    inside = absolute == root or absolute.startswith(f"{root}/")
    return (absolute[len(root) + 1 :] or ".") if inside else "/"


def _inside(place: Place, folder: str) -> list[str]:
    """Return the pictures below a folder, and the label files that have no picture there."""
    pictures = _below_folder(place, folder, PICTURES)
    labels = _in_place_of_images(f"{folder}/x", "labels").rpartition("/")[0]
    known = {_in_place_of_images(name, "labels").rpartition(".")[0] for name in pictures}
    texts = _below_folder(place, labels, (".txt",)) if labels != folder or not pictures else []
    skipped = ("classes.txt", "labels.txt", "readme.txt", "notes.txt")
    alone = [t for t in texts if t[:-4] not in known and not t.lower().endswith(skipped)]
    is_labels = "labels" in PurePosixPath(labels).parts
    return pictures + (alone if is_labels else [])


def _below_folder(place: Place, folder: str, suffixes: tuple[str, ...]) -> list[str]:
    inside = "" if folder in (".", "") else f"{folder}/"
    return [name for name in place.named(*suffixes) if name.startswith(inside)]


def _listed(place: Place, name: str) -> list[str]:
    """Return the pictures in a list, whose lines are paths from wherever it was written."""
    files = set(place.files)
    if name not in files:
        return []
    own = PurePosixPath(name).parent.as_posix()
    found = []
    for line in filter(None, map(str.strip, place.text(name).splitlines())):
        parts = path_parts(line)
        tails = ["/".join(parts[start:]) for start in range(len(parts))]
        choices = [normpath(f"{folder}/{tail}") for tail in tails for folder in (own, ".")]
        is_there = (c for c in choices if c in files or _label_of(c) in files)
        found.append(next(is_there, choices[0] if choices else line))
    return found


def _label_of(picture: str) -> str:
    return f"{_in_place_of_images(picture.rpartition('.')[0], 'labels')}.txt"


def _in_place_of_images(name: str, folder: str) -> str:
    """Return a path with its last folder `images` replaced, or as it is without such a folder."""
    head, images, tail = f"/{name}".rpartition("/images/")
    return f"{head}/{folder}/{tail}".lstrip("/") if images else name


def _annotated(
    place: Place, data: _DataFile, name: str, split: str, remarks: Remarks
) -> AnnotatedPicture:
    """Return a picture with its polygons or mask."""
    stem = name.rpartition(".")[0]
    is_picture = name.lower().endswith(PICTURES)
    picture = AnnotatedPicture(
        name=_short_name(stem),
        source=data.path,
        wanted=PurePosixPath(name if is_picture else stem).name,
        image=place.path(name) if is_picture and place.path(name).is_file() else None,
        split=split,
    )
    if data.masks:
        return _with_mask(place, data, picture, stem)
    label = _label_of(name) if is_picture else name
    if not place.path(label).is_file():
        remarks.add("{n} picture{s} without a label file", name)
        return picture
    picture = replace(picture, source=place.path(label))
    try:
        return replace(picture, drawn=tuple(_shapes(place.text(label), data.names, label, remarks)))
    except ValueError as error:
        return replace(picture, problem=f"{picture.source}: {error}")
    except PspError as error:
        return replace(picture, problem=str(error))


def _short_name(stem: str) -> str:
    """Return a picture's path below the folder `images` or `labels`, and below its split."""
    parts = stem.split("/")
    for position in range(len(parts) - 2, -1, -1):
        if parts[position] in ("images", "labels"):
            parts = parts[position + 1 :]
            break
    return "/".join(parts[1:] if len(parts) > 1 and parts[0] in (*_SPLITS, "valid") else parts)


def _with_mask(
    place: Place, data: _DataFile, picture: AnnotatedPicture, stem: str
) -> AnnotatedPicture:
    wanted = _in_place_of_images(stem, data.masks)
    paths = (place.path(f"{wanted}{suffix}") for suffix in _MASKS)
    found = next((path for path in paths if wanted != stem and path.is_file()), None)
    if found is None:
        problem = f"{data.path}: no mask {wanted}.png for {picture.wanted}"
        return replace(picture, problem=problem)
    mask = MaskFile(found, "values", data.names, ignored=frozenset({_IGNORED}))
    return replace(picture, source=found, drawn=mask)


def _shapes(text: str, names: Mapping[int, str], label: str, remarks: Remarks) -> Iterator[Shape]:
    """Yield the polygons of a label file. Raises ValueError that names the line."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            kind, *values = map(_number, words)
            if kind not in names:
                raise ValueError(f"class {words[0][:20]} is not in names")
            if len(values) == 4:
                remarks.add(
                    "{n} line{s} of a box left out: that is no mask", f"{label}: line {number}"
                )
                continue
            ring = points(values)
            if (ring > 2).any():
                raise ValueError(f"{ring.max():g} is no part of the picture's size, from 0 to 1")
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        yield Shape(names[int(kind)], RelativePolygon(ring, WHOLE), f"line {number}")


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{short(word)} is no number") from None


ULTRALYTICS = Format("Ultralytics (YOLO) segmentation", recognizes, read)

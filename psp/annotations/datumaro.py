"""Datumaro's common_semantic_segmentation: images, masks of colors, and dataset_meta.json."""

from pathlib import PurePosixPath
from typing import Any

from psp.annotations.arrangement import Pair
from psp.annotations.class_names import Names
from psp.annotations.format import Format, ReadOptions
from psp.annotations.jpeg_masks import interpret_any
from psp.annotations.masks import export_of
from psp.annotations.matching import match
from psp.annotations.meaning import Convention
from psp.annotations.numbers import short
from psp.annotations.pictures import PICTURES
from psp.annotations.place import Place
from psp.annotations.records import Export
from psp.annotations.scan import scan_masks
from psp.annotations.splits import folder_split
from psp.errors import PspError

_META = "dataset_meta.json"


def recognizes(place: Place) -> bool:
    """Whether there is a dataset_meta.json with colors and a folder of masks."""
    return any('"segmentation_colors"' in place.head(n, 1 << 16) for n in place.named(_META))


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export. Raises PspError for a meta file that is not as Datumaro writes it."""
    found: list[Pair] = []
    said: list[str] = []
    metas = place.named(_META)
    names = [_names(place, name) for name in metas]
    for other, name in zip(names, metas, strict=True):
        if other.colors != names[0].colors:
            raise PspError(f"{place.path(name)}: has other classes than {place.path(metas[0])}")
    for name in metas:
        prefix = name[: -len(_META)]
        sides: dict[str, dict[str, str]] = {"images": {}, "masks": {}}
        for file in place.named(*PICTURES):
            folder, _, below = file.removeprefix(prefix).partition("/")
            if file.startswith(prefix) and folder in sides:
                sides[folder][below.rpartition(".")[0]] = file
        photos, masks = ({k: place.path(v) for k, v in side.items()} for side in sides.values())
        matched, how = match(photos, masks)
        said += how
        alone = sum(mask is None for _, mask in matched.values())
        said += [f"{alone} pictures have no mask, left out"] if alone else []
        split = folder_split(PurePosixPath(prefix or ".").name)
        found += [
            Pair(prefix + stem, photo, mask, split, PurePosixPath(stem).name)
            for stem, (photo, mask) in matched.items()
            if mask
        ]
    if not found:
        raise PspError(f"{place.path(metas[0])}: has no folder 'masks' with masks beside it")
    scans = scan_masks([pair.mask for pair in found])
    meaning = interpret_any(scans, names[0], Convention("colors"))
    return export_of("Datumaro semantic segmentation", found, scans, meaning, said)


def _names(place: Place, name: str) -> Names:
    """Return the classes by color: the colors stand in the order of the labels' numbers."""
    path, meta = place.path(name), place.json(name)
    labels = meta.get("label_map") if isinstance(meta, dict) else None
    colors = meta.get("segmentation_colors") if isinstance(meta, dict) else None
    if not isinstance(labels, dict) or not isinstance(colors, list):
        raise PspError(f"{path}: no label_map and segmentation_colors as Datumaro writes them")
    try:
        ordered = [labels[key] for key in sorted(labels, key=int)]
    except ValueError:
        raise PspError(f"{path}: label_map: a label's number is no number") from None
    if len(ordered) != len(colors):
        raise PspError(f"{path}: {len(ordered)} labels, but {len(colors)} segmentation_colors")
    found: dict[int, str] = {}
    for label, color in zip(ordered, colors, strict=True):
        if not isinstance(label, str) or not label:
            raise PspError(f"{path}: label_map: {short(label)} is no name")
        value = _color(color)
        if value is None:
            raise PspError(f"{path}: segmentation_colors: {short(color)} of '{label}' is no color")
        if value in found:
            raise PspError(f"{path}: '{found[value]}' and '{label}' have the same color")
        found[value] = label
    return Names(path, tuple(ordered), {}, found)


def _color(value: Any) -> int | None:
    if not isinstance(value, list) or len(value) != 3:
        return None
    channels = [part for part in value if type(part) is int and 0 <= part <= 255]
    return (channels[0] << 16) | (channels[1] << 8) | channels[2] if len(channels) == 3 else None


DATUMARO = Format("Datumaro common semantic segmentation", recognizes, read)

"""Roboflow's "Semantic Segmentation Masks": pictures and STEM_mask.png in one folder a split.

Each split has its `_classes.csv` with the names of the masks' values; they have to agree.
"""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from psp.annotations.arrangement import Pair
from psp.annotations.class_names import find_names
from psp.annotations.format import Format, ReadOptions
from psp.annotations.jpeg_masks import interpret_any
from psp.annotations.masks import export_of
from psp.annotations.meaning import Convention
from psp.annotations.pictures import PICTURES
from psp.annotations.place import Place
from psp.annotations.records import Export
from psp.annotations.scan import scan_masks
from psp.annotations.splits import folder_split
from psp.errors import PspError

BACKGROUND = "background"
_CLASSES = "_classes.csv"
_MASK = "_mask.png"


def recognizes(place: Place) -> bool:
    """Whether there are masks beside a `_classes.csv`."""
    folders = {PurePosixPath(name).parent for name in place.named(_CLASSES)}
    return any(PurePosixPath(name).parent in folders for name in place.named(_MASK))


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export.

    Raises PspError if the splits' classes contradict each other, and for two pictures of a mask.
    """
    stems: dict[str, str] = {}
    for name in place.named(*PICTURES):
        stem = name[: name.rfind(".")]
        if other := stems.get(stem):
            raise PspError(
                f"{place.path(name)}: {PurePosixPath(other).name} has the same name but for its "
                "type, so the mask may be of either. Remove one of them"
            )
        stems[stem] = name
    pairs, alone = [], 0
    masks = {stem: name for stem, name in stems.items() if stem.lower().endswith("_mask")}
    for stem, name in masks.items():
        own = stems.get(stem[: -len("_mask")])
        photo = place.path(own) if own else None
        folder = PurePosixPath(name).parent.name
        stem = stem[: -len("_mask")]
        wanted = f"{PurePosixPath(stem).name}.jpg"
        pairs.append(Pair(stem, photo, place.path(name), folder_split(folder), wanted))
    named = {pair.name for pair in pairs}
    alone = sum(stem not in masks and stem not in named for stem in stems)
    folders: list[Path] = [place.path(name).parent for name in place.named(_CLASSES)]
    names = find_names(folders)
    if names and names.values and 0 not in names.values:  # Roboflow's value for what is undrawn
        names = replace(names, values={0: BACKGROUND, **names.values})
    scans = scan_masks([pair.mask for pair in pairs])
    meaning = interpret_any(scans, names, Convention("values"))
    said = [f"{alone} pictures have no mask, left out"] if alone else []
    return export_of("Roboflow semantic masks", pairs, scans, meaning, said)


ROBOFLOW_MASKS = Format("Roboflow semantic masks", recognizes, read)

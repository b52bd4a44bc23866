"""Own data of Cityscapes' shape: STEM_leftImg8bit.png with STEM_gtFine_labelIds.png or others.

Of one picture the masks of ids count first, then those of training ids, then the polygons. Names
are Cityscapes' own, and so is what is ignored; labels of other names are classes of their own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from psp.annotations.arrangement import Pair
from psp.annotations.class_names import Names
from psp.annotations.format import Format, ReadOptions
from psp.annotations.jpeg_masks import interpret_any
from psp.annotations.masks import export_of
from psp.annotations.meaning import Convention
from psp.annotations.numbers import Points, points, short, size
from psp.annotations.pictures import PICTURES, Pictures
from psp.annotations.place import Place
from psp.annotations.polygons import EDGES, Polygon
from psp.annotations.records import AnnotatedPicture, Export, Shape
from psp.annotations.remarks import Remarks
from psp.annotations.scan import scan_masks
from psp.annotations.splits import folders_split
from psp.errors import PspError

# cityscapesScripts, helpers/labels.py: names by id, and those that are trained on, in their order.
LABELS = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground",
    "road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail",
    "bridge", "tunnel", "pole", "polegroup", "traffic light", "traffic sign", "vegetation",
    "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan", "trailer", "train",
    "motorcycle", "bicycle",
)  # fmt: skip
TRAINED = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
    "bicycle",
)  # fmt: skip
IGNORED = frozenset(LABELS) - frozenset(TRAINED) | {"license plate"}
_FILE = re.compile(r"(.+)_gt(?:Fine|Coarse)_(labelIds|labelTrainIds|polygons)\.(?:png|json)")
_KINDS = ("labelIds", "labelTrainIds", "polygons")


def recognizes(place: Place) -> bool:
    """Whether there are files that are named as Cityscapes' annotations are."""
    return any(_FILE.fullmatch(name) for name in place.named("ids.png", "_polygons.json"))


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export, by the kind of annotation that most pictures have."""
    found: dict[str, dict[str, str]] = {kind: {} for kind in _KINDS}
    for name in place.named("ids.png", "_polygons.json"):
        if match := _FILE.fullmatch(name):
            found[match[2]][match[1]] = name
    kind = max(_KINDS, key=lambda kind: len(found[kind]))  # of equal numbers the first
    stems = {stem for files in found.values() for stem in files}
    said = []
    if without := len(stems) - len(found[kind]):
        said.append(f"{without} pictures have no _{kind} as the others have, left out")
    photos = _Photos(place)
    if kind == "polygons":
        return _polygons(place, found[kind], photos, said)
    pairs = [
        Pair(
            photos.name(stem),
            photos.find(stem),
            place.path(name),
            photos.split(stem),
            f"{PurePosixPath(stem).name}_leftImg8bit.png",
        )
        for stem, name in found[kind].items()
    ]
    scans = scan_masks([pair.mask for pair in pairs])
    listed = LABELS if kind == "labelIds" else TRAINED
    names = Names("Cityscapes", listed, dict(enumerate(listed)))
    ignored = frozenset(v for v, name in enumerate(listed) if name in IGNORED)
    meaning = interpret_any(scans, names, Convention("values", frozenset({255}), ignored=ignored))
    return export_of("Cityscapes masks", pairs, scans, meaning, said)


class _Photos:
    """The photos, by the beginning that their names have in common with the annotations'."""

    def __init__(self, place: Place) -> None:
        self._files = Pictures(place)
        self._by_stem: dict[str, Path] = {}
        for name in place.named(*PICTURES):
            stem = PurePosixPath(name).stem
            if stem.endswith("_leftImg8bit"):
                self._by_stem.setdefault(stem.removesuffix("_leftImg8bit"), place.path(name))

    def find(self, stem: str) -> Path | None:
        """Return the photo of an annotation, None if there is none."""
        name = PurePosixPath(stem).name
        if name in self._by_stem:
            return self._by_stem[name]
        try:
            return self._files.find(name, str(PurePosixPath(stem).parent), self.split(stem))
        except ValueError:
            return None

    def name(self, stem: str) -> str:
        """Return the name of a picture without the folders that say the kind."""
        parts = PurePosixPath(stem).parts
        return "/".join(part for part in parts if part.lower() not in ("gtfine", "gtcoarse"))

    def split(self, stem: str) -> str:
        """Return the split that a folder above says."""
        return folders_split(stem)


@dataclass(frozen=True, slots=True)
class Everything:
    """The whole picture."""

    def cover(self, height: int, width: int) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Region`."""
        return 0, 0, np.ones((height, width), bool)


def _polygons(place: Place, found: Mapping[str, str], photos: _Photos, said: list[str]) -> Export:
    """Return the export of polygons; what none of them covers is unlabeled, and so ignored."""
    remarks = Remarks()
    pictures = [
        _picture(place, stem, name, photos, remarks) for stem, name in sorted(found.items())
    ]
    seen = {s.label for p in pictures if isinstance(p.drawn, tuple) for s in p.drawn}
    known = [name for name in LABELS if name in seen]
    classes = (*known, *sorted(seen - set(known)))
    return Export(
        format="Cityscapes polygons",
        classes=classes,
        pictures=tuple(pictures),
        ignored=frozenset(classes) & IGNORED,
        covered=True,
        remarks=(*said, *remarks.lines()),
    )


def _picture(
    place: Place, stem: str, name: str, photos: _Photos, remarks: Remarks
) -> AnnotatedPicture:
    path, image = place.path(name), photos.find(stem)
    picture = AnnotatedPicture(
        name=photos.name(stem),
        source=path,
        wanted=image.name if image else f"{PurePosixPath(stem).name}_leftImg8bit.png",
        image=image,
        split=photos.split(stem),
    )
    try:
        value = place.json(name, keep=False)
    except PspError as error:
        return replace(picture, problem=str(error))
    try:
        if not isinstance(value, dict) or not isinstance(value.get("objects"), list):
            raise ValueError("no list of objects in it")
        stated = size(value.get("imgWidth"), value.get("imgHeight"))
        shapes = [
            shape
            for position, thing in enumerate(value["objects"])
            if (shape := _shape(thing, f"objects[{position}]", f"{name}", remarks))
        ]
    except ValueError as error:
        return replace(picture, problem=f"{path}: {error}")
    base = (Shape(LABELS[0], Everything()),) if shapes else ()
    return replace(picture, size=stated, drawn=(*base, *shapes))


def _shape(value: object, item: str, file: str, remarks: Remarks) -> Shape | None:
    """Return an object's shape, None for one that was deleted. Raises ValueError."""
    try:
        if not isinstance(value, dict):
            raise ValueError(f"no object ({short(value)})")
        label = value.get("label")
        if not isinstance(label, str) or not label:
            raise ValueError(f"its label is no text ({short(label)})")
        if value.get("deleted"):
            remarks.add("{n} deleted object{s} left out", f"{file}: {item}")
            return None
        if label not in LABELS and label.removesuffix("group") in LABELS:
            label = label.removesuffix("group")  # several that could not be told apart
        ring: Points = points(value.get("polygon"))
    except ValueError as error:
        raise ValueError(f"{item}: {error}") from None
    return Shape(label, Polygon((ring,), fill=EDGES), item)


CITYSCAPES = Format("Cityscapes-shaped data", recognizes, read)

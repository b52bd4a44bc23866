"""CVAT XML 1.1: "CVAT for images", and "CVAT for video", whose tracks need the clip's frames.

Shapes with a higher z_order lie on top, of equal ones the later in the file. Boxes and ellipses are
regions, as in CVAT's own masks. A `label=""` is a shape that nobody named.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from psp.annotations.class_names import background_of, means_ignored
from psp.annotations.cvat_shapes import NOT_PAINTED, PAINTED, region_of, z_order
from psp.annotations.cvat_tracks import Clip, frames_of
from psp.annotations.format import Format, ReadOptions
from psp.annotations.numbers import short, size
from psp.annotations.pictures import Pictures, stem_of
from psp.annotations.place import Place
from psp.annotations.records import AnnotatedPicture, Export, Shape
from psp.annotations.remarks import Remarks
from psp.annotations.splits import folder_split
from psp.annotations.xml_file import Element, read_elements
from psp.errors import PspError

ROOT = "annotations"
_WITHOUT_AREA = frozenset({"points", "polyline", "skeleton", "tag", "cuboid"})  # types of labels


@dataclass
class _File:
    """One XML file: its labels with their colors, pictures, and tracks of a video."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)  # labels of points, lines and skeletons
    images: list[Element] = field(default_factory=list)
    tracks: list[Element] = field(default_factory=list)
    meta: Element | None = None


def recognizes(place: Place) -> bool:
    """Whether an XML file is one of CVAT's."""
    return any(_is_cvat(place, name) for name in place.named(".xml"))


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export. Raises PspError for broken XML, and for tracks without their video."""
    remarks, files = Remarks(), Pictures(place)
    pictures: list[AnnotatedPicture] = []
    labels: dict[str, str] = {}
    for name in place.named(".xml"):
        if not _is_cvat(place, name):
            continue
        file = _read_file(place, name)
        labels |= {label: color for label, color in file.labels.items() if label not in labels}
        pictures += _pictures(place, file, files, remarks, options.video)
        if file.tracks:
            clip = Clip.of(place.path(name), file.meta, options.video)
            near = name.rpartition("/")[0]
            of = _Shapes(file, remarks).of
            path = place.path(name)
            pictures += frames_of(path, file.tracks, clip, files, near, place.given, of)
    if not pictures:
        raise PspError(f"{place.given}: a CVAT file without any picture. Export it again")
    seen = {s.label for p in pictures if isinstance(p.drawn, tuple) for s in p.drawn}
    classes = tuple(dict.fromkeys([*labels, *sorted(seen)]))
    return Export(
        format="CVAT XML",
        classes=classes,
        pictures=tuple(_distinct(pictures)),
        colors={label: rgb for label, text in labels.items() if (rgb := _color(text))},
        background=background_of(classes),
        ignored=frozenset(filter(means_ignored, classes)),
        remarks=remarks.lines(),
    )


def _is_cvat(place: Place, name: str) -> bool:
    head = place.head(name, 1 << 16)
    start = head.find(f"<{ROOT}")
    return start >= 0 and any(
        mark in head[start:] for mark in ("<version>1", "<image ", "<track ", "<meta>", "</annotat")
    )


def _read_file(place: Place, name: str) -> _File:
    file = _File(name)
    for element in read_elements(place.path(name), ROOT):
        if element.tag == "meta":
            file.meta = element
            for label in element.descendants("label"):
                title = label.child_text("name")
                if not title:
                    continue
                if label.child("parent") or label.child_text("type") in _WITHOUT_AREA:
                    file.others.add(title)
                else:
                    file.labels.setdefault(title, label.child_text("color"))
        elif element.tag == "image":
            file.images.append(element)
        elif element.tag == "track":
            file.tracks.append(element)
    return file


class _Shapes:
    """Turns the elements of one picture into shapes."""

    def __init__(self, file: _File, remarks: Remarks) -> None:
        self._file = file
        self._remarks = remarks

    def of(self, elements: list[Element], label: str | None = None) -> tuple[Shape, ...]:
        """Return the shapes in the order of painting. Raises ValueError, naming the line.

        `label` is that of all elements, where the elements themselves have none.
        """
        found: list[tuple[int, Shape]] = []
        for element in elements:
            item = f"line {element.line}: <{element.tag}>"
            if element.tag in NOT_PAINTED:
                text = f"{{n}} <{element.tag}>{{s}} left out: no area"
                self._remarks.add(text, f"{self._file.name}: line {element.line}")
                continue
            if element.tag not in PAINTED:
                text = f"{{n}} <{element.tag[:40]}>{{s}} left out: no kind of shape that is known"
                self._remarks.add(text, f"{self._file.name}: line {element.line}")
                continue
            name = element.attributes.get("label", "") if label is None else label
            if not name.strip():
                text = f"{{n}} <{element.tag}>{{s}} without a label left out"
                self._remarks.add(text, f"{self._file.name}: line {element.line}")
                continue
            declared = self._file.labels.keys() | self._file.others
            try:
                if declared and name not in declared:
                    raise ValueError(f"label {short(name)} is not among the file's labels")
                found.append((z_order(element), Shape(name, region_of(element), item)))
            except ValueError as error:
                raise ValueError(f"{item}: {error}") from None
        return tuple(shape for _, shape in sorted(found, key=lambda pair: pair[0]))


def _pictures(
    place: Place, file: _File, files: Pictures, remarks: Remarks, video: Path | None
) -> Iterator[AnnotatedPicture]:
    path, near = place.path(file.name), file.name.rpartition("/")[0]
    shapes = _Shapes(file, remarks)
    seen: dict[tuple[str, str, str], Element] = {}
    for element in file.images:
        attributes = element.attributes
        name = attributes.get("name", "")
        subset, task = attributes.get("subset", ""), attributes.get("task_id", "")
        item = f"line {element.line}: image {short(name)}"
        picture = AnnotatedPicture(
            name=stem_of(name) or f"image {attributes.get('id', element.line)}"[:40],
            source=path,
            wanted=name,
            image=None,
            split=folder_split(subset),
        )
        try:
            if not name.strip("/\\. "):
                raise ValueError("it has no name")
            other = seen.setdefault((task, subset, name), element)
            if other is not element:
                raise ValueError(f"it is there twice, also in line {other.line}. Remove one")
            stated = size(_side(attributes.get("width")), _side(attributes.get("height")))
            image = files.find(name, near, picture.split or subset.lower())
            picture = replace(picture, size=stated, image=image)
            if image is None and video and (frame := re.fullmatch(r"frame_(\d{1,6})", name)):
                picture = replace(picture, image=video, frame=int(frame[1]))
            children = [child for child in element.children if child.tag != "attribute"]
            drawn = shapes.of(children)
        except ValueError as error:
            yield replace(picture, problem=f"{path}: {item}: {error}")
            continue
        yield replace(picture, drawn=drawn)


def _side(text: str | None) -> object:
    try:
        if text is None:
            return None
        return float(text)
    except ValueError:
        return text


def _distinct(pictures: list[AnnotatedPicture]) -> Iterator[AnnotatedPicture]:
    """Give pictures of equal names, as several tasks may have, names of their own."""
    taken: set[str] = set()
    for picture in pictures:
        name, number = picture.name, 1
        while name in taken:
            number += 1
            name = f"{picture.name}~{number}"
        taken.add(name)
        yield replace(picture, name=name) if name != picture.name else picture


def _color(text: str) -> tuple[int, int, int] | None:
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue


CVAT = Format("CVAT XML 1.1", recognizes, read)

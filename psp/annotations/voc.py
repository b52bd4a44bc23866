"""Trees of Pascal VOC's shape: SegmentationClass, JPEGImages, ImageSets/Segmentation.

CVAT ("Segmentation mask 1.1", "PASCAL VOC 1.1"), labelme2voc and Datumaro write them. With a
labelmap.txt the colors of the masks say the class, be the files RGB or of palettes; without one,
values are ids, 0 is background and 255 is ignored.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from psp.annotations.arrangement import Pair
from psp.annotations.class_names import Names, find_names
from psp.annotations.format import Format, ReadOptions
from psp.annotations.jpeg_masks import interpret_any
from psp.annotations.masks import picture
from psp.annotations.matching import match
from psp.annotations.meaning import Convention
from psp.annotations.naming import split_of
from psp.annotations.pictures import PICTURES
from psp.annotations.place import Place
from psp.annotations.records import AnnotatedPicture, Export
from psp.annotations.remarks import Remarks
from psp.annotations.scan import Scan, scan_masks
from psp.errors import PspError

_MASKS = ("segmentationclass", "segmentationclasspng", "segmentationclassaug")
_VOID = 0xE0E0C0  # the color of VOC's rims
_OFFICIAL_NAME = re.compile(r"20(?:07|08|09|10|11|12)_\d{6}")
_OFFICIAL = """
    background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse
    motorbike person pottedplant sheep sofa train tvmonitor
"""


@dataclass
class _Tree:
    """The files of one tree, as paths at the place by name without type; `prefix` is its folder."""

    prefix: str
    masks: dict[str, str] = field(default_factory=dict)
    photos: dict[str, str] = field(default_factory=dict)
    lists: list[str] = field(default_factory=list)
    boxes: int = 0  # files in Annotations


def recognizes(place: Place) -> bool:
    """Whether there is a folder SegmentationClass with masks in it."""
    return bool(_trees(place))


def read(place: Place, options: ReadOptions) -> Export:
    """Return the export. Raises PspError for masks and names that contradict each other."""
    remarks = Remarks()
    said: list[str] = []
    trees = _trees(place)
    items = [item for tree in trees for item in _items(place, tree, len(trees) > 1, remarks, said)]
    pairs = [item for item in items if isinstance(item, Pair)]
    if not pairs:
        raise PspError(f"{place.given}: no picture in the lists of ImageSets has a mask")
    scans = scan_masks([pair.mask for pair in pairs])
    names = find_names(_folders(place, trees)) or _official(scans)
    by_color = names is not None and bool(names.colors) and not names.values
    convention = Convention(
        "colors" if by_color else "", frozenset({_VOID if by_color else 255}), "background"
    )
    meaning = interpret_any(scans, names, convention)
    records = {
        pair.mask: picture(pair, scan, meaning) for pair, scan in zip(pairs, scans, strict=True)
    }
    return Export(
        format="Pascal VOC masks",
        classes=meaning.classes,
        pictures=tuple(records[item.mask] if isinstance(item, Pair) else item for item in items),
        colors=meaning.colors,
        background=meaning.background,
        ignored=meaning.ignored,
        remarks=(*said, *remarks.lines(), *meaning.remarks),
    )


def _trees(place: Place) -> list[_Tree]:
    """Find the folders SegmentationClass, and the photos and lists beside them."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name in place.named(*PICTURES):
        parts = PurePosixPath(name).parts
        for depth, part in enumerate(parts[:-1]):
            if part.lower() in _MASKS:
                below = "/".join(parts[depth + 1 :]).rpartition(".")[0]
                kinds = found.setdefault("".join(f"{p}/" for p in parts[:depth]), {})
                kinds.setdefault(part.lower(), {})[below] = name
                break
    trees = [
        _Tree(prefix, next(kinds[kind] for kind in _MASKS if kind in kinds))
        for prefix, kinds in found.items()
    ]
    for tree in trees:
        for name in place.files:
            if not name.startswith(tree.prefix):
                continue
            folder, _, below = name[len(tree.prefix) :].partition("/")
            if folder.lower() == "jpegimages" and below.lower().endswith(PICTURES):
                tree.photos[below.rpartition(".")[0]] = name
            elif re.fullmatch(r"segmentation/[^/]+\.txt", below.lower()):
                tree.lists += [name] if folder.lower() == "imagesets" else []
            elif folder.lower() == "annotations":
                tree.boxes += below.lower().endswith(".xml")
    return trees


def _folders(place: Place, trees: Sequence[_Tree]) -> list[Path]:
    """Return where class names may lie: beside the trees' folders, in those of masks, and above."""
    folders = [place.root / tree.prefix for tree in trees]
    folders += [place.path(next(iter(tree.masks.values()))).parent for tree in trees]
    for tree in trees:
        above = PurePosixPath(tree.prefix or ".").parents
        folders += [place.root / folder for folder in above]
    return [*folders, place.root]


def _items(
    place: Place, tree: _Tree, several: bool, remarks: Remarks, said: list[str]
) -> Iterator[Pair | AnnotatedPicture]:
    """Yield a pair for each mask, and a record without shapes for each listed photo without one."""
    photos = {stem: place.path(name) for stem, name in tree.photos.items()}
    matched, how = match(photos, {stem: place.path(name) for stem, name in tree.masks.items()})
    said += how
    splits = _splits(place, tree, matched)
    for stem, (photo, mask) in matched.items():
        name = f"{tree.prefix}{stem}" if several else stem
        if splits is not None and stem not in splits:
            if mask is not None:
                remarks.add("{n} mask{s} in none of the lists of ImageSets, left out", mask.name)
            continue
        split, source = (splits or {}).get(stem, ("", None))
        if mask is not None:
            yield Pair(name, photo, mask, split, f"{PurePosixPath(stem).name}.jpg")
        elif source is not None and photo is not None:
            yield AnnotatedPicture(
                name=name, source=source, wanted=photo.name, image=photo, split=split, drawn=()
            )
    without = [photo for photo, mask in matched.values() if mask is None and photo]
    if without and tree.boxes:
        said.append(
            f"{len(without)} pictures have no mask ({without[0].name}, …). Were they labeled with "
            "polygons? CVAT's 'PASCAL VOC 1.1' leaves those out; export 'Segmentation mask 1.1'"
        )
    for stem, (split, source) in (splits or {}).items():
        if stem not in matched and source is not None:
            problem = f"{source}: '{stem}' has neither a mask nor a picture. Add them, or the line"
            yield AnnotatedPicture(
                name=stem, source=source, wanted=stem, image=None, split=split, problem=problem
            )


def _splits(
    place: Place, tree: _Tree, known: Mapping[str, object]
) -> dict[str, tuple[str, Path]] | None:
    """Return split and list of each listed picture; None if there are no lists.

    A list of one split counts before one of several, such as trainval.txt.
    """
    if not tree.lists:
        return None
    splits: dict[str, tuple[str, Path]] = {}
    listed: dict[str, dict[str, Path]] = {}
    for name in tree.lists:
        split = split_of(PurePosixPath(name).stem)
        for line in place.text(name).splitlines():
            if line.strip():
                listed.setdefault(_stem(line, known), {})[split] = place.path(name)
    for stem, by_split in listed.items():
        own = [split for split in by_split if split]
        if len(own) > 1:
            lists = " and ".join(by_split[split].name for split in own[:2])
            raise PspError(
                f"{by_split[own[0]].parent}: '{stem}' is in {lists}. Remove it from one of them"
            )
        split = own[0] if own else ""
        splits[stem] = (split, by_split[split])
    return splits


def _stem(line: str, known: Mapping[str, object]) -> str:
    """Return the picture that a line of a list means: an id, a path, or an id and a number."""
    line = line.strip().replace("\\", "/")
    quoted = re.match(r'"([^"]+)"', line)
    for text in (quoted[1] if quoted else line, line.split()[0]):
        text = text.lstrip("/")
        text = re.sub(r"^.*?(?:JPEGImages|SegmentationClass)/", "", text)
        plain = text.rpartition(".")[0] if text.lower().endswith(PICTURES) else text
        for stem in (text, plain):
            if stem in known:
                return stem
    return plain


def _official(scans: Sequence[Scan]) -> Names | None:
    """Return VOC's own names if files, values and palette are all VOC's.

    labelme writes the same palette for any classes, so the names of the files have to fit, too.
    """
    colors = {value: color for value, color in enumerate(_colormap()) if value <= 20}
    colors[255] = _VOID
    for scan in scans:
        if scan.problem:
            continue
        fits = scan.counts.keys() <= colors.keys() and not scan.lossy
        painted = all(colors[v] == scan.palette.get(v) for v in scan.counts) if fits else False
        if not painted or not _OFFICIAL_NAME.fullmatch(scan.path.stem):
            return None
    return Names("Pascal VOC", (), dict(enumerate(_OFFICIAL.split())))


def _colormap() -> Iterator[int]:
    """Yield VOC's colors: the bits of a number, three at a time, from the channels' highest."""
    for value in range(256):
        channels = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                channels[channel] |= (value >> 3 * bit + channel & 1) << 7 - bit
        yield (channels[0] << 16) | (channels[1] << 8) | channels[2]


VOC = Format("Pascal VOC masks (also of CVAT and labelme2voc)", recognizes, read)

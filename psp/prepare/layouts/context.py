"""PASCAL Context: a MATLAB file of 459 raw values for each picture of VOC 2010.

VOCdevkit/VOC2010 has JPEGImages and the lists ImageSets/Main/{train,val}.txt. The annotations'
folder trainval and their labels.txt ("1: accordion", …) are in it or beside it.
"""

from pathlib import Path

from psp.data.card import Card, SplitEntry
from psp.errors import PspError
from psp.files import read_bytes
from psp.prepare.layouts.layout import (
    Layout,
    Pair,
    Source,
    SplitPairs,
    find_root,
)
from psp.prepare.layouts.lists import read_ids

# Three names are spelled differently in the lists of 459 and of 59 names; spaces differ, too.
ALIASES = {"table": "diningtable", "bedclothes": "bedcloth", "cloth": "clothes"}


def root(raw: Path) -> Path | None:
    """Return the folder VOC2010, if the annotations are in it or beside it."""
    voc = find_root(raw, (".", "VOC2010", "VOCdevkit/VOC2010"), ("JPEGImages", "ImageSets/Main"))
    return voc if voc and _annotations(voc) else None


def _annotations(voc: Path) -> Path | None:
    """Return the folder of the .mat files: in VOC2010, beside it, or beside VOCdevkit."""
    for parent in (voc, voc / "..", voc / "../.."):
        for path in ("trainval", "context/trainval", "PASCAL-Context/trainval"):
            if (parent / path).is_dir():
                return parent / path
    return None


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of the ids in VOC's list that have an annotation."""
    annotations = _annotations(root)
    assert annotations is not None  # root() returns only folders that have them
    remarks = _check_names(annotations.parent / "labels.txt", source.card)
    ids = read_ids(root / "ImageSets/Main" / (split.list or f"{split.name}.txt"))
    annotated = {path.stem for path in annotations.glob("*.mat")}
    pairs = [
        Pair(name, root / f"JPEGImages/{name}.jpg", annotations / f"{name}.mat", "LabelMap")
        for name in sorted(ids)
        if name in annotated
    ]
    if len(pairs) < len(ids):
        remarks.append(
            f"split '{split.name}': {len(ids) - len(pairs)} of VOC's {len(ids)} ids have no .mat "
            "file in trainval and are not part of the data set"
        )
    return SplitPairs(pairs, remarks)


def _check_names(path: Path, card: Card) -> list[str]:
    """Check the card's raw values against labels.txt; return a remark if that is missing.

    Raises PspError if they disagree.
    """
    if not path.is_file():
        return [f"{path}: missing; the official order of the 459 names is assumed"]
    names = {}
    try:
        for line in read_bytes(path, 1 << 24).decode("utf-8-sig").splitlines():
            number, colon, name = line.partition(":")
            if colon:
                names[int(number)] = _plain(name)
    except (OSError, ValueError) as error:
        raise PspError(f"{path}: cannot be read as lines such as '1: accordion': {error}") from None
    for entry in card.classes:
        if len(entry.raw) == 1 and names.get(entry.raw[0]) != _plain(entry.name):
            raise PspError(
                f"{path}: {entry.raw[0]} is '{names.get(entry.raw[0], 'missing')}' in this list, "
                f"but '{entry.name}' in card {card.name}. Is this list from these annotations?"
            )
    return []


def _plain(name: str) -> str:
    plain = name.strip().lower().replace(" ", "")
    return ALIASES.get(plain, plain)


def hint(raw: Path) -> str | None:
    """Say what is missing in a folder of VOC, of any year."""
    tried = (".", "VOC2012", "VOCdevkit/VOC2012", "VOC2010", "VOCdevkit/VOC2010")
    voc = find_root(raw, tried, ("JPEGImages",))
    if voc is None:
        return None
    if (voc / "ImageSets/Main").is_dir():
        return (
            "The annotations are missing: unpack trainval.tar.gz of PASCAL Context so that the "
            "folder trainval is beside VOCdevkit. The pictures are those of VOC 2010."
        )
    return f"{voc} has no ImageSets. Unpack the whole archive."


LAYOUT = Layout(
    "PASCAL Context (VOCdevkit/VOC2010 and, beside it, the annotations' folder trainval)",
    root,
    pairs,
    card="context",
    hint=hint,
)

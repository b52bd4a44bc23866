"""All layouts by the name that cards give them, and what an unknown folder looks like."""

import os
from collections.abc import Iterator
from pathlib import Path

from psp.errors import PspError, nearest
from psp.prepare.layouts import (
    ade20k,
    camvid,
    cityscapes,
    context,
    folders,
    lmo,
    voc,
)
from psp.prepare.layouts.layout import Layout

LAYOUTS: dict[str, Layout] = {
    "ade20k": ade20k.LAYOUT,
    "camvid": camvid.LAYOUT,
    "cityscapes": cityscapes.LAYOUT,
    "context": context.LAYOUT,
    "folders": folders.LAYOUT,
    "lmo": lmo.LAYOUT,
    "voc": voc.LAYOUT,
}
# Which card to name for a folder that another layout knows.
CARDS = {
    "ade20k": "ade20k",
    "camvid": "camvid",
    "cityscapes": "cityscapes",
    "context": "context",
    "lmo": "lmo",
    "voc": "voc2012",
}
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
LOOKED_AT = 2000  # entries of a folder that are looked at to recognize it


def find_layout(name: str, card: str) -> Layout:
    """Return a layout. Raises PspError that names the nearest."""
    if name not in LAYOUTS:
        raise PspError(
            f"card {card}: layout '{name}' is unknown (known: {', '.join(LAYOUTS)})."
            f"{nearest(name, LAYOUTS)}"
        )
    return LAYOUTS[name]


def find_download(raw: Path, name: str, card: str) -> Path:
    """Return the folder of a layout's files at, in or above `raw`.

    Raises PspError that says what `raw` is instead, where that can be told.
    """
    layout = find_layout(name, card)
    if raw.is_file():
        kind = "an archive. Unpack it first, and give" if _is_archive(raw.name) else "a file. Give"
        raise PspError(f"{raw}: {kind} the folder of {layout.what}.")
    if not raw.is_dir():
        raise PspError(f"{raw}: no such folder. Give the unpacked download of {layout.what}.")
    root = layout.root(raw)
    if root is None:
        hint = _recognize(raw, name) or "Give the folder that the official archive unpacks to."
        raise PspError(f"{raw}: this is not {layout.what}. {hint}")
    return root


def _recognize(raw: Path, wanted: str) -> str | None:
    """Return a sentence about what a folder is, or None."""
    special = _special(raw, wanted)
    if special:
        return special
    for name, card in CARDS.items():
        if name != wanted and LAYOUTS[name].root(raw):
            return f"It looks like {LAYOUTS[name].what}: psp prepare {card} {raw}"
    entries = list(_entries(raw, depth=1))
    if not entries:
        return "The folder is empty."
    archives = [path.name for path in entries if _is_archive(path.name)]
    if archives:
        return f"There is an archive in it, {archives[0]}: unpack it first."
    return None


def _special(raw: Path, wanted: str) -> str | None:
    """Recognize what people take for a data set that it is not."""
    if wanted == "ade20k" and _is_full_ade(raw):
        return (
            "It looks like the full ADE20K (*_seg.png, 3,148 classes). The benchmark of 150 "
            "classes is a download of its own: ADEChallengeData2016.zip (psp cards show ade20k)"
        )
    names = {path.name for path in _entries(raw, depth=1)}
    if {"testing"} & names and not {"images", "annotations"} & names:
        return "It looks like ADE20K's leaderboard test set, without labels: psp predict parses it."
    if wanted == "cityscapes" and "leftImg8bit" in names:
        return (
            "The labels are missing: unpack gtFine_trainvaltest.zip into the same folder, beside "
            "leftImg8bit."
        )
    if wanted == "cityscapes" and "gtFine" in names:
        return (
            "The pictures are missing: unpack leftImg8bit_trainvaltest.zip into the same folder, "
            "beside gtFine."
        )
    if wanted in ("voc", "context"):
        for part in (".", "VOC2012", "VOCdevkit/VOC2012", "VOC2010", "VOCdevkit/VOC2010"):
            if (raw / part / "JPEGImages").is_dir():
                return _voc_lacks(raw / part, wanted)
    return None


def _voc_lacks(root: Path, wanted: str) -> str:
    if wanted == "voc" and not (root / "SegmentationClass").is_dir():
        return (
            f"{root} has no SegmentationClass: it is the leaderboard's test set, or another "
            "task's. Take VOCtrainval_11-May-2012.tar; psp predict parses pictures without labels."
        )
    if wanted == "context" and (root / "ImageSets/Main").is_dir():
        return (
            "The annotations are missing: unpack trainval.tar.gz of PASCAL Context so that the "
            "folder trainval lies beside VOCdevkit; the pictures are those of VOC 2010."
        )
    return f"{root} lacks ImageSets. Unpack the whole archive."


def _is_full_ade(raw: Path) -> bool:
    found = (path.name for path in _entries(raw, depth=7))
    return any(
        name.endswith("_seg.png") or name.startswith(("index_ade20k", "ADE20K_20"))
        for name in found
    )


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def _entries(folder: Path, depth: int) -> Iterator[Path]:
    """Yield what is in a folder, down to some depth, and not more than a glance at it."""
    seen = 0
    for place, folders_in, files in os.walk(folder):
        level = len(Path(place).relative_to(folder).parts)
        for name in sorted(folders_in) + sorted(files):
            seen += 1
            if seen > LOOKED_AT:
                return
            yield Path(place) / name
        if level + 1 >= depth:
            folders_in.clear()

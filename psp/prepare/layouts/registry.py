"""All layouts by name, and hints on folders that are not the download that was asked for."""

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
# The card to suggest for a folder that another layout recognizes.
CARDS = {
    "ade20k": "ade20k",
    "camvid": "camvid",
    "cityscapes": "cityscapes",
    "context": "context",
    "lmo": "lmo",
    "voc": "voc2012",
}
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
MAX_ENTRIES = 2000  # how many entries of a folder are read to recognize it


def find_layout(name: str, card: str) -> Layout:
    """Return the layout with that name. Raises PspError that suggests the nearest name."""
    if name not in LAYOUTS:
        raise PspError(
            f"card {card}: layout '{name}' is unknown (known: {', '.join(LAYOUTS)})."
            f"{nearest(name, LAYOUTS)}"
        )
    return LAYOUTS[name]


def find_download(raw: Path, name: str, card: str) -> Path:
    """Return the root folder of a layout's files, given the folder `raw` of the user.

    Raises PspError that says what `raw` is instead, if that is recognized.
    """
    layout = find_layout(name, card)
    if raw.is_file():
        kind = "an archive. Unpack it first, and give" if _is_archive(raw.name) else "a file. Give"
        raise PspError(f"{raw}: {kind} the folder of {layout.description}.")
    if not raw.is_dir():
        raise PspError(
            f"{raw}: no such folder. Give the unpacked download of {layout.description}."
        )
    root = layout.root(raw)
    if root is None:
        hint = _recognize(raw, name) or "Give the folder that the official archive unpacks to."
        raise PspError(f"{raw}: this is not {layout.description}. {hint}")
    return root


def _recognize(raw: Path, wanted: str) -> str | None:
    """Return a sentence on what a folder is and what to do, or None."""
    mistake = _common_mistake(raw, wanted)
    if mistake:
        return mistake
    for name, card in CARDS.items():
        if name != wanted and LAYOUTS[name].root(raw):
            return f"It looks like {LAYOUTS[name].description}: psp prepare {card} {raw}"
    entries = list(_entries(raw, depth=1))
    if not entries:
        return "The folder is empty: unpack the download into it."
    archives = [path.name for path in entries if _is_archive(path.name)]
    if archives:
        return f"There is an archive in it, {archives[0]}: unpack that first."
    return None


def _common_mistake(raw: Path, wanted: str) -> str | None:
    """Return a sentence on a download that is often mistaken for the right one, or None."""
    if wanted == "ade20k" and _is_full_ade(raw):
        return (
            "It looks like the full ADE20K (*_seg.png, 3,148 classes). The benchmark with 150 "
            "classes is a separate download: ADEChallengeData2016.zip (psp cards show ade20k)"
        )
    names = {path.name for path in _entries(raw, depth=1)}
    if {"testing"} & names and not {"images", "annotations"} & names:
        return "It looks like ADE20K's leaderboard test set, without labels: use psp predict on it."
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
        for path in (".", "VOC2012", "VOCdevkit/VOC2012", "VOC2010", "VOCdevkit/VOC2010"):
            if (raw / path / "JPEGImages").is_dir():
                return _missing_in_voc(raw / path, wanted)
    return None


def _missing_in_voc(root: Path, wanted: str) -> str:
    if wanted == "voc" and not (root / "SegmentationClass").is_dir():
        return (
            f"{root} has no SegmentationClass: it is the leaderboard's test set, or for another "
            "task. Take VOCtrainval_11-May-2012.tar, or use psp predict on pictures without labels."
        )
    if wanted == "context" and (root / "ImageSets/Main").is_dir():
        return (
            "The annotations are missing: unpack trainval.tar.gz of PASCAL Context so that the "
            "folder trainval is beside VOCdevkit. The pictures are those of VOC 2010."
        )
    return f"{root} has no ImageSets. Unpack the whole archive."


def _is_full_ade(raw: Path) -> bool:
    names = (path.name for path in _entries(raw, depth=7))
    return any(
        name.endswith("_seg.png") or name.startswith(("index_ade20k", "ADE20K_20"))
        for name in names
    )


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def _entries(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the first MAX_ENTRIES entries of a folder and its subfolders, `depth` levels deep."""
    count = 0
    for parent, subfolders, files in os.walk(folder):
        level = len(Path(parent).relative_to(folder).parts)
        for name in sorted(subfolders) + sorted(files):
            count += 1
            if count > MAX_ENTRIES:
                return
            yield Path(parent) / name
        if level + 1 >= depth:
            subfolders.clear()

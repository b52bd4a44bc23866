"""PASCAL VOC 2012, with or without the annotations of SBD.

It has JPEGImages, SegmentationClass and lists of ids in ImageSets/Segmentation. The split train_aug
adds the annotations of SBD (Hariharan et al., "Semantic Contours from Inverse Detectors"): SBD's
train and val and VOC's train, without VOC's val, 10,582 ids. If both have a mask, VOC's is used.
"""

from pathlib import Path

from psp.data.card import SplitEntry
from psp.errors import PspError
from psp.images.reading import SUFFIXES
from psp.prepare.layouts.layout import (
    Layout,
    Pair,
    Source,
    SplitPairs,
    find_root,
    picture_stems,
)
from psp.prepare.layouts.lists import read_ids

AUGMENTED = "train_aug"


def root(raw: Path) -> Path | None:
    """Return the folder VOC2012."""
    return find_root(
        raw,
        (".", "VOC2012", "VOCdevkit/VOC2012"),
        ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
    )


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs in a split's list."""
    if split.name == AUGMENTED:
        return _augmented(source.sbd, root) if source.sbd else SplitPairs(None)
    listed = root / "ImageSets/Segmentation" / (split.list or f"{split.name}.txt")
    if not split.required and not listed.exists():
        return SplitPairs(None)
    ids = read_ids(listed, lambda name: _file(root / "JPEGImages", name, ".jpg").is_file())
    return SplitPairs([_pair(root, name, labels=split.labels) for name in sorted(ids)])


def _pair(root: Path, name: str, *, labels: bool = True) -> Pair:
    image = _file(root / "JPEGImages", name, ".jpg")
    return Pair(name, image, _file(root / "SegmentationClass", name, ".png") if labels else None)


def _file(folder: Path, name: str, usual: str) -> Path:
    """Return the file of an id, of the usual file type if there is none of another."""
    path = folder / f"{name}{usual}"
    if path.is_file():
        return path
    others = (folder / f"{name}{suffix}" for suffix in sorted(SUFFIXES))
    return next((other for other in others if other.is_file()), path)


def _augmented(sbd: Path, root: Path) -> SplitPairs:
    lists = root / "ImageSets/Segmentation"
    train = set(read_ids(lists / "train.txt"))
    val = set(read_ids(lists / "val.txt"))
    masks = _sbd_masks(sbd)
    pairs = [
        Pair(name, root / f"JPEGImages/{name}.jpg", *masks[name])
        for name in masks.keys() - train - val
    ]
    pairs += [_pair(root, name) for name in train]
    return SplitPairs(sorted(pairs, key=lambda pair: pair.name))


def _sbd_masks(sbd: Path) -> dict[str, tuple[Path, str]]:
    """Return SBD's mask of every id: a MATLAB file and its variable, or a PNG and ""."""
    dataset = find_root(sbd, (".", "dataset", "benchmark_RELEASE/dataset"), ("cls",))
    if dataset is not None:
        ids = {name for split in ("train", "val") for name in read_ids(dataset / f"{split}.txt")}
        return {name: (dataset / f"cls/{name}.mat", "GTcls.Segmentation") for name in ids}
    if not sbd.is_dir():
        raise PspError(f"--sbd {sbd}: no such folder. Give SBD's folder benchmark_RELEASE")
    pngs = sbd / "SegmentationClassAug"
    masks = picture_stems(pngs if pngs.is_dir() else sbd)
    if not masks or any("/" in name for name in masks):
        raise PspError(
            f"{sbd}: --sbd needs SBD's folder benchmark_RELEASE (dataset/cls/*.mat, train.txt, "
            "val.txt) or a folder SegmentationClassAug of PNGs."
        )
    return {name: (path, "") for name, path in masks.items()}


def hint(raw: Path) -> str | None:
    """Say what is missing in a folder of VOC, of any year."""
    tried = (".", "VOC2012", "VOCdevkit/VOC2012", "VOC2010", "VOCdevkit/VOC2010")
    voc = find_root(raw, tried, ("JPEGImages",))
    if voc is None:
        return None
    if not (voc / "SegmentationClass").is_dir():
        return (
            f"{voc} has no SegmentationClass: it is the leaderboard's test set, or for another "
            "task. Take VOCtrainval_11-May-2012.tar, or use psp predict on pictures without labels."
        )
    return f"{voc} has no ImageSets. Unpack the whole archive."


LAYOUT = Layout(
    "PASCAL VOC 2012 (VOCdevkit/VOC2012 with JPEGImages, SegmentationClass, ImageSets)",
    root,
    pairs,
    card="voc2012",
    hint=hint,
    sbd_split=AUGMENTED,
)

"""CamVid in SegNet's version: {split}/NAME.png beside {split}annot/NAME.png.

The distribution's list files name the same files with absolute paths of its authors' machine, so
the folders are used instead. Pictures may have any format; they are matched by stem.
"""

from pathlib import Path

from psp.data.card import SplitEntry
from psp.prepare.layouts.layout import (
    Layout,
    Source,
    SplitPairs,
    find_root,
    match_stems,
)


def root(raw: Path) -> Path | None:
    """Return the folder with train and trainannot."""
    return find_root(raw, (".", "CamVid"), ("train", "trainannot"))


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split."""
    labels = root / f"{split.name}annot" if split.labels else None
    return SplitPairs(match_stems(root / split.name, labels))


LAYOUT = Layout("CamVid (a folder CamVid with train, trainannot, …)", root, pairs, card="camvid")

"""CamVid in SegNet's version: {split}/NAME.png beside {split}annot/NAME.png.

The list files of the distribution name the same files by an absolute path of its authors' machine;
the folders are the split. Any picture format is taken, matched by stem.
"""

from pathlib import Path

from psp.data.card import SplitEntry
from psp.prepare.layouts.layout import (
    Found,
    Layout,
    Source,
    find_root,
    match_stems,
)


def root(raw: Path) -> Path | None:
    """Return the folder with train and trainannot."""
    return find_root(raw, (".", "CamVid"), ("train", "trainannot"))


def pairs(source: Source, root: Path, split: SplitEntry) -> Found:
    """Return the pairs of a split."""
    labels = root / f"{split.name}annot" if split.labels else None
    return Found(match_stems(root / split.name, labels))


LAYOUT = Layout("CamVid (a folder CamVid with train, trainannot, …)", root, pairs)

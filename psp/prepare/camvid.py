"""CamVid in SegNet's version: {split}/NAME.png beside {split}annot/NAME.png.

The list files of the distribution name the same files by an absolute path of its authors' machine;
the folders are the split. Any picture format is taken, matched by stem.
"""

from pathlib import Path

from psp.cards import SplitEntry
from psp.prepare.pairs import Pair, find_root, match_stems


def pairs(raw: Path, split: SplitEntry) -> list[Pair]:
    """Return the pairs of a split, sorted by name."""
    root = find_root(
        raw, (".", "CamVid"), "train", "CamVid (a folder CamVid with train, trainannot, …)"
    )
    return match_stems(root / split.name, root / f"{split.name}annot")

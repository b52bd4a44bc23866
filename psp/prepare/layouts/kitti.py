"""KITTI, semantic segmentation: training/image_2/000000_10.png and training/semantic/000000_10.png.

There is no official validation split. Here every fifth labeled picture validates: 000000_10,
000005_10, and so on. The test pictures, testing/image_2, are published without labels.
"""

from pathlib import Path

from psp.data.card import SplitEntry
from psp.errors import PspError
from psp.prepare.layouts.layout import (
    Layout,
    Pair,
    Source,
    SplitPairs,
    find_root,
    match_stems,
)

NEAR = (".", "data_semantics", "kitti", "KITTI")
IMAGES, LABELS = "training/image_2", "training/semantic"
EVERY = 5  # of so many pictures, one validates


def root(raw: Path) -> Path | None:
    """Return the folder with training and testing."""
    return find_root(raw, NEAR, (IMAGES, LABELS))


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split. Raises PspError for a name that KITTI does not have."""
    if not split.labels:
        folder = root / "testing/image_2"
        return SplitPairs(match_stems(folder, None) if folder.is_dir() else None)
    found = match_stems(root / IMAGES, root / LABELS)
    return SplitPairs([pair for pair in found if _validates(pair) == (split.name == "val")])


def _validates(pair: Pair) -> bool:
    number = pair.name.partition("_")[0]
    if not number.isdecimal():
        raise PspError(f"{pair.image}: KITTI's pictures have names such as 000000_10.png.")
    return int(number) % EVERY == 0


def hint(raw: Path) -> str | None:
    """Recognize KITTI's other downloads, which have the same pictures."""
    if find_root(raw, NEAR, (IMAGES,)):
        return (
            "It looks like another of KITTI's sets: the labels, training/semantic, are in "
            "data_semantics.zip, which has the pictures too (psp cards show kitti)."
        )
    return None


LAYOUT = Layout(
    "KITTI for semantic segmentation (data_semantics with training and testing)",
    root,
    pairs,
    card="kitti",
    hint=hint,
)

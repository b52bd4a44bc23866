"""LMO, also called SIFT Flow: pictures of 256x256 and a MATLAB file of labels for each.

TestSet1.txt lists the 200 pictures of the test set ("folder\\name.jpg"); all others are for
training.
"""

from pathlib import Path

from psp.data.card import SplitEntry
from psp.prepare.layouts.layout import (
    Layout,
    Pair,
    Source,
    SplitPairs,
    find_root,
    picture_stems,
)
from psp.prepare.layouts.lists import read_ids

SCENES = "spatial_envelope_256x256_static_8outdoorcategories"


def root(raw: Path) -> Path | None:
    """Return the folder with Images and SemanticLabels."""
    return find_root(
        raw,
        (".", "SiftFlowDataset", "LMO", "SiftFlow"),
        (f"Images/{SCENES}", f"SemanticLabels/{SCENES}"),
    )


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs in the split's list; for a split without a list, all others."""
    images, labels = root / "Images" / SCENES, root / "SemanticLabels" / SCENES
    listed = {
        entry.name: set(read_ids(root / entry.list)) for entry in source.card.splits if entry.list
    }
    if split.name in listed:
        names = listed[split.name]
    else:
        existing = picture_stems(images).keys() | {path.stem for path in labels.glob("*.mat")}
        names = existing.difference(*listed.values())
    return SplitPairs(
        [
            Pair(name, images / f"{name}.jpg", labels / f"{name}.mat", variable="S", names="names")
            for name in sorted(names)
        ]
    )


LAYOUT = Layout("LMO / SIFT Flow (Images, SemanticLabels, TestSet1.txt)", root, pairs, card="lmo")

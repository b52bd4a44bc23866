"""ADE20K in the version of the scene parsing challenge (ADEChallengeData2016).

Its folders are images/{training,validation} and annotations/{training,validation}. The
leaderboard's test pictures are a separate download, release_test/testing.
"""

from pathlib import Path

from psp.data.card import SplitEntry
from psp.prepare.layouts.layout import (
    Layout,
    Source,
    SplitPairs,
    entries,
    find_root,
    match_stems,
)

OFFICIAL = {"train": "training", "val": "validation"}
COCO = ("imageLists", "images/train2017", "images/val2017")
TEST = ("images/testing", "release_test/testing", "../release_test/testing")


def root(raw: Path) -> Path | None:
    """Return the folder ADEChallengeData2016, not COCO-Stuff's with folders of the same names."""
    found = find_root(raw, (".", "ADEChallengeData2016"), ("images", "annotations"))
    return None if found and any((found / name).exists() for name in COCO) else found


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split."""
    if not split.labels:
        folder = next((root / path for path in TEST if (root / path).is_dir()), None)
        return SplitPairs(match_stems(folder, None) if folder else None)
    name = OFFICIAL.get(split.name, split.name)
    return SplitPairs(match_stems(root / "images" / name, root / "annotations" / name))


def hint(raw: Path) -> str | None:
    """Recognize the full ADE20K, and the test pictures alone."""
    if any(
        path.name.endswith("_seg.png") or path.name.startswith(("index_ade20k", "ADE20K_20"))
        for path in entries(raw, depth=7)
    ):
        return (
            "It looks like the full ADE20K (*_seg.png, 3,148 classes). The benchmark with 150 "
            "classes is a separate download: ADEChallengeData2016.zip (psp cards show ade20k)"
        )
    names = {path.name for path in entries(raw)}
    if "testing" in names and not {"images", "annotations"} & names:
        return "It looks like ADE20K's leaderboard test set, without labels: use psp predict on it."
    return None


LAYOUT = Layout(
    "ADE20K for scene parsing (ADEChallengeData2016 with images and annotations)",
    root,
    pairs,
    card="ade20k",
    hint=hint,
)

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
    find_root,
    match_stems,
)

OFFICIAL = {"train": "training", "val": "validation"}
TEST = ("images/testing", "release_test/testing", "../release_test/testing")


def root(raw: Path) -> Path | None:
    """Return the folder ADEChallengeData2016."""
    return find_root(raw, (".", "ADEChallengeData2016"), ("images", "annotations"))


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split."""
    if not split.labels:
        folder = next((root / path for path in TEST if (root / path).is_dir()), None)
        return SplitPairs(match_stems(folder, None) if folder else None)
    name = OFFICIAL.get(split.name, split.name)
    return SplitPairs(match_stems(root / "images" / name, root / "annotations" / name))


LAYOUT = Layout(
    "ADE20K for scene parsing (ADEChallengeData2016 with images and annotations)", root, pairs
)

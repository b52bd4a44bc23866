"""ADE20K as the scene parsing challenge has it: images and annotations, training and validation.

The leaderboard's test pictures are a download of their own, release_test/testing.
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

OFFICIAL = {"train": "training", "val": "validation"}
TEST = ("images/testing", "release_test/testing", "../release_test/testing")


def root(raw: Path) -> Path | None:
    """Return the folder ADEChallengeData2016."""
    return find_root(raw, (".", "ADEChallengeData2016"), ("images", "annotations"))


def pairs(source: Source, root: Path, split: SplitEntry) -> Found:
    """Return the pairs of a split."""
    if not split.labels:
        folder = next((root / part for part in TEST if (root / part).is_dir()), None)
        return Found(match_stems(folder, None) if folder else None)
    name = OFFICIAL.get(split.name, split.name)
    return Found(match_stems(root / "images" / name, root / "annotations" / name))


LAYOUT = Layout(
    "ADE20K for scene parsing (ADEChallengeData2016 with images and annotations)", root, pairs
)

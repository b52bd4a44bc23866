"""The painted scenes of `psp demo`: images/{split}/NAME.png and labels/{split}/NAME.png."""

from pathlib import Path

from psp.cards import SplitEntry
from psp.prepare.pairs import Pair, find_root, match_stems


def pairs(raw: Path, split: SplitEntry) -> list[Pair]:
    """Return the pairs of a split, sorted by name."""
    root = find_root(raw, (".",), "images", "a folder of painted scenes (images, labels)")
    return match_stems(root / "images" / split.name, root / "labels" / split.name)

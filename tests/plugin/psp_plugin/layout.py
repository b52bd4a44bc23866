"""A layout: a folder for each split, with NAME.jpg and NAME_labels.png side by side in it."""

from pathlib import Path

from psp.data.card import SplitEntry
from psp.prepare.layouts.layout import Layout, Pair, Source, SplitPairs, find_root


def root(raw: Path) -> Path | None:
    """Return the folder that has the folder train in it."""
    return find_root(raw, (".", "beside"), ("train",))


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split: one for each picture."""
    pictures = sorted((root / split.name).glob("*.jpg"))
    return SplitPairs(
        [Pair(path.stem, path, path.with_name(f"{path.stem}_labels.png")) for path in pictures]
    )


def hint(raw: Path) -> str | None:
    """Recognize a folder of a single split."""
    if any(raw.glob("*_labels.png")):
        return "It is one split alone: give the folder above it."
    return None


BESIDE = Layout("pictures with their labels beside them", root, pairs, hint=hint)

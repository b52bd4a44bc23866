"""Cityscapes: leftImg8bit/{split}/CITY/*_leftImg8bit.png and gtFine/…/*_gtFine_labelIds.png.

The label files that are published for the test split are placeholders: it has no labels here.
"""

from dataclasses import replace
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


def root(raw: Path) -> Path | None:
    """Return the folder with leftImg8bit and gtFine."""
    return find_root(raw, (".", "cityscapes", "Cityscapes"), ("leftImg8bit", "gtFine"))


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split, named such as aachen_000000_000019."""
    images = root / "leftImg8bit" / split.name
    if not split.labels and not images.is_dir():
        return SplitPairs(None)
    labels = root / "gtFine" / split.name if split.labels else None
    pairs = match_stems(images, labels, "_leftImg8bit", "_gtFine_labelIds")
    # File names start with the city, so the city's folder is not needed in the name.
    named = [replace(pair, name=pair.name.rpartition("/")[2]) for pair in pairs]
    return SplitPairs(sorted(named, key=lambda pair: pair.name))


def hint(raw: Path) -> str | None:
    """Recognize one of the two archives alone."""
    names = {path.name for path in entries(raw)}
    if "leftImg8bit" in names:
        return (
            "The labels are missing: unpack gtFine_trainvaltest.zip into the same folder, beside "
            "leftImg8bit."
        )
    if "gtFine" in names:
        return (
            "The pictures are missing: unpack leftImg8bit_trainvaltest.zip into the same folder, "
            "beside gtFine."
        )
    return None


LAYOUT = Layout(
    "Cityscapes (leftImg8bit and gtFine, unpacked into one folder)",
    root,
    pairs,
    card="cityscapes",
    hint=hint,
)

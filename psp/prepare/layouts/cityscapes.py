"""Cityscapes: leftImg8bit/{split}/CITY/*_leftImg8bit.png and gtFine/…/*_gtFine_labelIds.png.

The test split's label files are a dummy of the publisher's; that split is taken without labels.
"""

from dataclasses import replace
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
    """Return the folder with leftImg8bit and gtFine."""
    return find_root(raw, (".", "cityscapes", "Cityscapes"), ("leftImg8bit", "gtFine"))


def pairs(source: Source, root: Path, split: SplitEntry) -> Found:
    """Return the pairs of a split, named such as aachen_000000_000019."""
    images = root / "leftImg8bit" / split.name
    if not split.labels and not images.is_dir():
        return Found(None)
    labels = root / "gtFine" / split.name if split.labels else None
    found = match_stems(images, labels, "_leftImg8bit", "_gtFine_labelIds")
    # The city leads every file's name, so that the folder adds nothing.
    named = [replace(pair, name=pair.name.rpartition("/")[2]) for pair in found]
    return Found(sorted(named, key=lambda pair: pair.name))


LAYOUT = Layout("Cityscapes (leftImg8bit and gtFine, unpacked into one folder)", root, pairs)

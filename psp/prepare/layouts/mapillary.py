"""Mapillary Vistas: {training,validation}/images/KEY.jpg and the labels of version 1.2.

These are in {split}/labels in the archive of version 1.2, in {split}/v1.2/labels in that of 2.0,
whose {split}/v2.0/labels have other classes. The pictures of testing are published without labels.
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

OFFICIAL = {"train": "training", "val": "validation", "test": "testing"}
LABELS = ("v1.2/labels", "labels")
NEAR = (".", "mapillary")


def root(raw: Path) -> Path | None:
    """Return the folder with training and validation."""
    for labels in LABELS:
        for split in ("training", "validation"):
            found = find_root(raw, NEAR, (f"{split}/images", f"{split}/{labels}"))
            if found:
                return found
    return None


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split."""
    folder = root / OFFICIAL.get(split.name, split.name)
    if not split.labels:
        images = folder / "images"
        return SplitPairs(match_stems(images, None) if images.is_dir() else None)
    labels = next((folder / path for path in LABELS if (folder / path).is_dir()), folder / "labels")
    return SplitPairs(match_stems(folder / "images", labels))


def hint(raw: Path) -> str | None:
    """Recognize a folder without pictures, without labels, or with those of version 2.0 alone."""
    if find_root(raw, NEAR, ("training/images",)) is None:
        if any(find_root(raw, NEAR, (f"training/{labels}",)) for labels in LABELS):
            return "The pictures are missing: training/images. Unpack the whole archive."
        return None
    found = (
        "those of version 2.0 alone are" if find_root(raw, NEAR, ("training/v2.0",)) else "none are"
    )
    return (
        f"The labels of version 1.2 are missing ({found} there): training/labels, or "
        "training/v1.2/labels. Unpack the whole archive."
    )


LAYOUT = Layout(
    "Mapillary Vistas (training, validation, with the labels of version 1.2)",
    root,
    pairs,
    card="mapillary",
    hint=hint,
)

"""BDD100K: images/10k/{split}/NAME.jpg and labels/sem_seg/masks/{split}/NAME.png.

The pictures of the test split are published without labels. Beside masks are colormaps, and labels
of other tasks (drivable area, lanes) are in folders of the same shape.
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

IMAGES, MASKS = "images/10k", "labels/sem_seg/masks"
NEAR = (".", "bdd100k")


def root(raw: Path) -> Path | None:
    """Return the folder bdd100k with the 10K pictures and the masks."""
    return find_root(raw, NEAR, (IMAGES, MASKS))


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split."""
    images = root / IMAGES / split.name
    if not split.labels and not images.is_dir():
        return SplitPairs(None)
    return SplitPairs(match_stems(images, root / MASKS / split.name if split.labels else None))


def hint(raw: Path) -> str | None:
    """Recognize one of the two archives alone, and the pictures of the other tasks."""
    if find_root(raw, NEAR, (IMAGES,)):
        return (
            "The labels are missing: unpack bdd100k_sem_seg_labels_trainval.zip (the button "
            "'Segmentation') into the same folder, so that labels/sem_seg/masks is there."
        )
    if find_root(raw, NEAR, (MASKS,)):
        return (
            "The pictures are missing: unpack bdd100k_images_10k.zip ('10K Images', not the 100K) "
            "into the same folder, so that images/10k is there."
        )
    if find_root(raw, NEAR, ("seg/images", "seg/labels")):
        return (
            "It looks like BDD100K's first release (seg/labels with *_train_id.png). Get the "
            "present one: psp cards show bdd100k"
        )
    return None


LAYOUT = Layout(
    "BDD100K for semantic segmentation (bdd100k with images/10k and labels/sem_seg)",
    root,
    pairs,
    card="bdd100k",
    hint=hint,
)

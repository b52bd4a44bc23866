"""COCO-Stuff 164k: images/{split}2017/ID.jpg and annotations/{split}2017/ID.png.

That is the tree of the data set's README.md; the label maps are also found in the folder that their
archive is named for, and the pictures without the folder images, as COCO has them. The converter of
mmsegmentation leaves ID_labelTrainIds.png beside the label maps: these are left alone.
"""

from pathlib import Path

from psp.data.card import SplitEntry
from psp.prepare.layouts.layout import (
    Layout,
    Pair,
    Source,
    SplitPairs,
    picture_stems,
)

IMAGES = ("images", ".")
MAPS = ("annotations", "stuffthingmaps_trainval2017", "stuffthingmaps")
CONVERTED = "_labelTrainIds"


def root(raw: Path) -> Path | None:
    """Return the folder that has both the pictures and the label maps."""
    for path in (raw, raw / "dataset", raw / "coco", raw / "coco_stuff164k"):
        if _folder(path, IMAGES, "val2017", ".jpg") and _folder(path, MAPS, "val2017", ".png"):
            return path
    return None


def _folder(root: Path, tried: tuple[str, ...], split: str, suffix: str) -> Path | None:
    """Return the first folder of a split that has files of this type in it."""
    for path in tried:
        folder = root / path / split
        if folder.is_dir() and next(folder.glob(f"*{suffix}"), None):
            return folder
    return None


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split."""
    name = f"{split.name}2017"
    images = _folder(root, IMAGES, name, ".jpg") or root / "images" / name
    labels = _folder(root, MAPS, name, ".png") or root / "annotations" / name
    pictures, maps = picture_stems(images), picture_stems(labels)
    converted = [stem for stem in maps if stem.endswith(CONVERTED)]
    remarks = (
        [f"{labels}: {len(converted)} files *{CONVERTED}.png are left alone"] if converted else []
    )
    return SplitPairs(
        [
            Pair(
                stem,
                pictures.get(stem, images / f"{stem}.jpg"),
                maps.get(stem, labels / f"{stem}.png"),
            )
            for stem in sorted({*pictures, *maps} - set(converted))
        ],
        remarks,
    )


def hint(raw: Path) -> str | None:
    """Say which half is missing in a folder of COCO."""
    if _folder(raw, IMAGES, "val2017", ".jpg"):
        return (
            "The label maps are missing: unpack stuffthingmaps_trainval2017.zip into a folder "
            "annotations beside the pictures' folder images. COCO's own JSON files are not used."
        )
    if _folder(raw, (*MAPS, "."), "val2017", ".png"):
        return (
            "The pictures are missing: unpack train2017.zip and val2017.zip into a folder images, "
            "beside the label maps' folder annotations."
        )
    return None


LAYOUT = Layout(
    "COCO-Stuff 164k (images and annotations, each with train2017 and val2017)",
    root,
    pairs,
    card="cocostuff164k",
    hint=hint,
)

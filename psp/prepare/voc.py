"""PASCAL VOC 2012: JPEGImages, SegmentationClass and lists of ids in ImageSets/Segmentation."""

from pathlib import Path

from psp.cards import SplitEntry
from psp.errors import PspError
from psp.prepare.pairs import Pair, find_root


def pairs(raw: Path, split: SplitEntry) -> list[Pair]:
    """Return the pairs that a split's list names, sorted by id. Raises PspError for a bad list."""
    root = find_root(
        raw, (".", "VOC2012", "VOCdevkit/VOC2012"), "JPEGImages",
        "PASCAL VOC 2012 (VOCdevkit/VOC2012 with JPEGImages, SegmentationClass, ImageSets)",
    )  # fmt: skip
    listed = root / "ImageSets" / "Segmentation" / (split.list or f"{split.name}.txt")
    return [
        Pair(name, root / f"JPEGImages/{name}.jpg", root / f"SegmentationClass/{name}.png")
        for name in sorted(_ids(listed))
    ]


def _ids(path: Path) -> list[str]:
    """Return the ids of a list file; blank lines and either kind of line end are fine."""
    try:
        ids = path.read_text(encoding="utf-8-sig").split()
    except FileNotFoundError:
        raise PspError(f"{path}: the list is missing. Is the download complete?") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PspError(f"{path}: the list cannot be read: {error}") from None
    doubles = len(ids) - len(set(ids))
    bad = [name for name in ids if set(name) & set("/\\") or name.startswith(".")]
    if bad:
        raise PspError(f"{path}: '{bad[0]}' is no id such as 2007_000032.")
    if doubles or not ids:
        raise PspError(f"{path}: {f'{doubles} ids stand twice' if ids else 'the list is empty'}.")
    return ids

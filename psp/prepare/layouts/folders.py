"""A user's own data: images and masks in folders, matched by name, split as the card says."""

import hashlib
from pathlib import Path, PurePosixPath

from psp.data.card import Folders, SplitEntry
from psp.prepare.layouts.layout import (
    Found,
    Layout,
    Pair,
    Source,
    match_stems,
)
from psp.prepare.layouts.lists import read_list


def root(raw: Path) -> Path | None:
    """Return the folder itself: what must be in it is the card's choice."""
    return raw if raw.is_dir() else None


def pairs(source: Source, root: Path, split: SplitEntry) -> Found:
    """Return the pairs of a split: of its folders, of its list, or of its share of all."""
    folders = source.card.folders
    assert folders is not None  # the card's reader saw to it
    images = root / folders.images.replace("{split}", split.name)
    masks = root / folders.masks.replace("{split}", split.name) if split.labels else None
    if split.list is None and split.fraction is None and not images.is_dir():
        return Found([] if split.required else None)
    every = {
        pair.name: pair
        for pair in match_stems(images, masks, folders.image_suffix, folders.mask_suffix)
    }
    if split.fraction is not None:
        for other in source.card.splits:  # what a list names is not dealt out again
            for entry in read_list(root / other.list) if other.list else []:
                every.pop(_listed(entry, every, images, masks).name, None)
        return Found([every[name] for name in sorted(_share(every, source, split, folders))])
    if split.list is None:
        return Found(list(every.values()))
    if not split.required and not (root / split.list).exists():
        return Found(None)
    found = [_listed(entry, every, images, masks) for entry in read_list(root / split.list)]
    return Found(sorted(found, key=lambda pair: pair.name))


def _listed(entry: str, every: dict[str, Pair], images: Path, masks: Path | None) -> Pair:
    """Return the pair a list names, by its path below the images' folder or any longer one."""
    parts = PurePosixPath(entry).parts
    for start in range(len(parts)):
        pair = every.get("/".join(parts[start:]))
        if pair is not None:
            return pair
    name = "/".join(part for part in parts if part != "/")
    return Pair(name, images / f"{name}.jpg", masks / f"{name}.png" if masks else None)


def _share(
    every: dict[str, Pair], source: Source, split: SplitEntry, folders: Folders
) -> list[str]:
    """Return the names in a split's fraction: an order drawn from the seed, cut where they add up.

    The order depends on the seed and the names alone, and every name is in one split at most.
    """

    def draw(name: str) -> bytes:
        return hashlib.sha256(f"{folders.seed}:{name}".encode()).digest()

    order = sorted(every, key=draw)
    start = 0.0
    for other in source.card.splits:
        stop = start + (other.fraction or 0)
        if other.name == split.name:
            return order[round(start * len(order)) : round(stop * len(order))]
        start = stop
    return []


LAYOUT = Layout("a folder of images and masks", root, pairs)

"""Your own data: images and masks in folders, matched by name, with the splits of the card."""

import hashlib
from dataclasses import replace
from pathlib import Path, PurePosixPath

from psp.data.card import Folders, SplitEntry
from psp.images.kinds import LeftOut
from psp.prepare.layouts.layout import (
    Layout,
    Pair,
    Source,
    SplitPairs,
    match_stems,
)
from psp.prepare.layouts.lists import Entry, read_list


def root(raw: Path) -> Path | None:
    """Return the folder itself: the card says what is in it."""
    return raw if raw.is_dir() else None


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split: those in its folders, in its list, or in its fraction."""
    folders = source.card.folders
    assert folders is not None  # checked by find_layout
    images = root / folders.images.replace("{split}", split.name)
    masks = root / folders.masks.replace("{split}", split.name) if split.labels else None
    if split.list is None and split.fraction is None and not images.is_dir():
        return SplitPairs([] if split.required else None)
    remarks: list[str] = []
    left_out: dict[Path, LeftOut] = {}
    all_pairs = {
        pair.name: pair
        for pair in match_stems(
            images, masks, folders.image_suffix, folders.mask_suffix, remarks, left_out
        )
    }
    if split.fraction is not None:
        for other in source.card.splits:  # pictures in lists are not in the fractions
            for entry in read_list(root / other.list) if other.list else []:
                all_pairs.pop(_listed(entry, all_pairs, images, masks).name, None)
        names = _fraction(all_pairs, source, split, folders)
        return SplitPairs([all_pairs[name] for name in sorted(names)], remarks, left_out)
    if split.list is None:
        return SplitPairs(list(all_pairs.values()), remarks, left_out)
    if not split.required and not (root / split.list).exists():
        return SplitPairs(None)
    pairs = [_listed(entry, all_pairs, images, masks) for entry in read_list(root / split.list)]
    return SplitPairs(sorted(pairs, key=lambda pair: pair.name), remarks, left_out)


def _listed(entry: Entry, all_pairs: dict[str, Pair], images: Path, masks: Path | None) -> Pair:
    """Return the pair of a list's entry: a path below the images' folder, or a longer one.

    A mask that the list names beside the picture is that picture's mask. An entry that matches no
    image gives a pair of files that do not exist, so that they are reported as missing.
    """
    parts = PurePosixPath(entry.name).parts
    pair = _longest_tail(parts, all_pairs)
    if pair is not None and entry.mask is not None and masks is not None:
        other = _longest_tail(PurePosixPath(entry.mask).parts, all_pairs)
        label = other.label if other else masks / f"{entry.mask}.png"
        return replace(pair, label=label)
    if pair is not None:
        return pair
    name = "/".join(part for part in parts if part != "/")
    return Pair(name, images / f"{name}.jpg", masks / f"{name}.png" if masks else None)


def _longest_tail(parts: tuple[str, ...], all_pairs: dict[str, Pair]) -> Pair | None:
    """Return the pair whose name is the end of a path, the longest such end."""
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((all_pairs[tail] for tail in tails if tail in all_pairs), None)


def _fraction(
    all_pairs: dict[str, Pair], source: Source, split: SplitEntry, folders: Folders
) -> list[str]:
    """Return the names in a split's fraction: a slice of all names in a random order.

    The order depends only on the seed and the names. A name is in one split at most.
    """

    def draw(name: str) -> bytes:
        return hashlib.sha256(f"{folders.seed}:{name}".encode()).digest()

    order = sorted(all_pairs, key=draw)
    start = 0.0
    for other in source.card.splits:
        stop = start + (other.fraction or 0)
        if other.name == split.name:
            return order[round(start * len(order)) : round(stop * len(order))]
        start = stop
    return []


LAYOUT = Layout("a folder of images and masks", root, pairs, has_folders=True)

"""Remarks on finished shards: what is allowed, but seldom meant. None of them stops anything."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.data.card import IGNORE
from psp.data.shards import ShardSplit
from psp.images.labels import histogram

LABELS = 60  # that are decoded and looked at, spread over a split
PHOTOS = 12  # that are decoded and compared with their labels
MOSTLY = 0.95  # of all pixels
FEW = 3  # names that are shown


def remarks(folder: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence on each thing in the shards that a person should look at."""
    with contextlib.ExitStack() as stack:
        splits = {name: ShardSplit(folder, name) for name in manifest["splits"]}
        for split in splits.values():
            stack.callback(split.close)
        yield from _remarks(splits)


def _remarks(splits: Mapping[str, ShardSplit]) -> Iterator[str]:
    labeled = {name: split for name, split in splits.items() if split.labeled}
    yield from _same_pictures(splits)
    if not labeled:
        return
    first = next(iter(labeled.values()))
    names = first.card.names
    if len(names) == 1:
        yield (
            f"there is only one class, '{names[0]}', so there is nothing to tell apart: let the "
            "rest be a class of its own, such as background"
        )
    for split_name, split in labeled.items():
        present = int((split.class_pixels[:-1] > 0).sum())
        if len(split) > 1 and len(names) > 1 and present == 1:
            yield f"split '{split_name}': all its labels hold one and the same class"
        yield from _ignored(split_name, split)
        yield from _photos_like_labels(split_name, split)
    yield from _unseen_classes(labeled, names)
    yield from _never(labeled, names)
    yield from _seams(first, names)


def _same_pictures(splits: Mapping[str, ShardSplit]) -> Iterator[str]:
    """Find pictures that two splits share: by their bytes, or by a label that is no coincidence."""
    ordered = list(splits.items())
    for at, (one, first) in enumerate(ordered):
        for two, second in ordered[at + 1 :]:
            if not {one, two} & {"val", "test"}:
                continue
            same = _same(first, second, 0)
            if first.labeled and second.labeled:
                same |= _same(first, second, 1)
            if same:
                some = sorted(same.items())[:FEW]
                shown = ", ".join(f"{first.names[k]} = {second.names[i]}" for i, k in some)
                yield (
                    f"splits '{one}' and '{two}': {len(same)} pictures are the same ({shown}): "
                    "scores on them would be too high"
                )


def _same(first: ShardSplit, second: ShardSplit, column: int) -> dict[int, int]:
    """Return which samples of `second` have the image (column 0) or label (1) of one of `first`."""
    (known, of), (keys, indices) = _keys(first, column), _keys(second, column)
    if not len(known):
        return {}
    order = np.argsort(known, kind="stable")
    last = np.searchsorted(known[order], keys, side="right") - 1
    pairs = zip(indices.tolist(), order[last].tolist(), keys.tolist(), strict=True)
    found = {index: int(of[k]) for index, k, key in pairs if known[k] == key}
    return {i: k for i, k in found.items() if (first.sizes[k] == second.sizes[i]).all()}


def _keys(split: ShardSplit, column: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return a key, of checksum and length, of each image or label, and whose it is.

    A label of one class is like many others, and is left out.
    """
    lengths = split.image_lengths if column == 0 else split.label_lengths
    keys = split.checksums[:, column].astype(np.uint64) << np.uint64(32) | lengths.astype(np.uint64)
    if column == 0:
        return keys, np.arange(len(split))
    several = np.concatenate([(h[:, :-1] > 0).sum(1) >= 2 for h in split.histograms()])
    return keys[several], np.flatnonzero(several)


def _unseen_classes(labeled: Mapping[str, ShardSplit], names: tuple[str, ...]) -> Iterator[str]:
    """Name classes that are validated on, but never trained on."""
    training = [split for name, split in labeled.items() if name.startswith("train")]
    if not training:
        return
    seen = sum((split.class_pixels[:-1] for split in training), np.zeros(len(names), np.int64))
    for split_name, split in labeled.items():
        if split in training:
            continue
        new = [names[c] for c in np.flatnonzero((split.class_pixels[:-1] > 0) & (seen == 0))]
        if new:
            yield (
                f"split '{split_name}' has classes that are never trained on: "
                f"{', '.join(new[:8])}{', …' if len(new) > 8 else ''}"
            )


def _ignored(name: str, split: ShardSplit) -> Iterator[str]:
    """Say where labels, or nearly all of their pixels, are ignored: nothing is learned there."""
    counts = split.class_pixels
    empty = np.flatnonzero(np.concatenate([h[:, :-1].sum(1) == 0 for h in split.histograms()]))
    if len(empty):
        shown = ", ".join(split.names[index] for index in empty[:FEW].tolist())
        more = ", …" if len(empty) > FEW else ""
        yield (
            f"split '{name}': {len(empty)} of {len(split)} labels hold no class, all of their "
            f"pixels are ignored ({shown}{more}): nothing can be learned or scored there"
        )
    share = counts[-1] / max(1, counts.sum())
    if len(empty) < len(split) and share > MOSTLY:
        yield (
            f"split '{name}': {share:.1%} of all pixels are ignored. Does 'ignore_from' of the "
            "card list a value that should be a class, such as background?"
        )


def _never(labeled: Mapping[str, ShardSplit], names: tuple[str, ...]) -> Iterator[str]:
    """Name the classes that no label holds, if others are there."""
    counts = sum((split.class_pixels[:-1] for split in labeled.values()), np.zeros(len(names)))
    absent = [names[index] for index in np.flatnonzero(counts == 0).tolist()]
    if absent and len(absent) < len(names):
        yield (
            f"no label holds {', '.join(absent[:8])}{', …' if len(absent) > 8 else ''}: such "
            "classes cannot be learned, and count as 0 in mIoU"
        )


def _photos_like_labels(name: str, split: ShardSplit) -> Iterator[str]:
    """Say where pictures have one color for each class, as if they were masks themselves."""
    step = max(1, len(split) // PHOTOS)
    several = False
    for index in range(0, len(split), step):
        label = split.label(index).astype(np.int64)
        classes = len(np.unique(label))
        if classes < 2:
            continue
        several = True
        red, green, blue = np.moveaxis(split.image(index).astype(np.int64), -1, 0)
        colors = red << 16 | green << 8 | blue
        if len(np.unique(colors[::8, ::8])) > classes:  # a photo, without counting every pixel
            return
        if not len(np.unique(colors << 8 | label)) == len(np.unique(colors)) == classes:
            return
    if several:
        yield (
            f"split '{name}': its pictures hold one color for each class of their labels: were "
            "masks given as pictures?"
        )


def _seams(split: ShardSplit, names: tuple[str, ...]) -> Iterator[str]:
    """Name classes that stand in thin lines between a lower and a higher id alone.

    A program that resizes a mask smoothly mixes neighbors: between 0 and 2 it writes 1.
    """
    solid = np.zeros(len(names), np.int64)  # pixels inside an area of 3x3
    between = np.zeros(len(names), np.int64)
    pixels = np.zeros(len(names), np.int64)
    step = max(1, len(split) // LABELS)
    for index in range(0, len(split), step):
        label = split.label(index)
        kernel = np.ones((3, 3), np.uint8)
        alone = (cv2.erode(label, kernel) == label) & (cv2.dilate(label, kernel) == label)
        solid += np.bincount(label[alone], minlength=IGNORE + 1)[: len(names)]
        pixels += histogram(label)[: len(names)]
        between += _between(label, len(names))
    for number in np.flatnonzero((pixels >= 20) & (solid == 0) & (between > 0.9 * pixels)):
        yield (
            f"class '{names[number]}' stands only in thin lines between others: were the masks "
            "resized smoothly (interpolated)? Masks must be resized to the nearest value"
        )


def _between(label: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Count, of each class, the pixels with a lower and a higher id among their neighbors."""
    kernel = np.ones((3, 3), np.uint8)
    known = label != IGNORE
    low = cv2.erode(np.where(known, label, 255).astype(np.uint8), kernel)
    high = cv2.dilate(np.where(known, label, 0).astype(np.uint8), kernel)
    inside = known & (low < label) & (label < high)
    return np.bincount(label[inside], minlength=classes)[:classes].astype(np.int64)

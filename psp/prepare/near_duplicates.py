"""Pictures of two splits that look almost alike: scores on them would be too high.

Each picture becomes 256 bits, whether it grows brighter from one field of a 16 x 17 grid to the
next (the "difference hash"): the same photo saved again, shrunk or brightened keeps nearly all.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.data.shards import ShardSplit
from psp.images.opencv import opencv_pixels
from psp.workers import cores, prefetch_map

SIDE = 16
NEAR = 20  # bits of 256 that may differ; of unlike pictures, 128 do
PLAIN = 40  # bits that must be set, and not set: a plain sky is like every other
LARGE = 16 * SIDE  # pixels of a side from which an eighth is enough to look at
MOST = 20_000  # pictures of a split that are compared
FEW = 3  # pairs that are shown
_TOGETHER = 64  # pictures that are compared with a whole split at a time
_ONES = np.array([value.bit_count() for value in range(256)], np.uint8)


def near_duplicates(folder: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield a remark for each two splits, one of them for scoring, with pictures nearly alike."""
    names = [n for n in manifest["splits"] if n != "train"]
    if "train" not in manifest["splits"] or not names:
        return
    with contextlib.ExitStack() as stack:
        splits = {name: ShardSplit(folder, name) for name in ("train", *names)}
        for split in splits.values():
            stack.callback(split.close)
        hashes = {name: _hashes(split) for name, split in splits.items() if len(split) <= MOST}
        for name in names:
            if name in hashes and "train" in hashes:
                yield from _remark(name, splits, hashes)


def difference_hash(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the 256 bits of a picture, uint8 (H, W) or (H, W, 3), packed into uint8 (32,)."""
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1])


def _bits(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return how many bits are set in each word."""
    if hasattr(np, "bitwise_count"):  # since numpy 2.0; ten times as fast
        return np.asarray(np.bitwise_count(words), np.uint8)
    bits: NDArray[np.uint8] = _ONES[words.view(np.uint8)].reshape(*words.shape, 8).sum(-1, np.uint8)
    return bits


def _hashes(split: ShardSplit) -> NDArray[np.uint8]:
    """Return the hash of each picture, uint8 (n, 32); zeros for a plain one."""

    def one(index: int) -> NDArray[np.uint8]:
        if split.raw or split.sizes[index].min() < LARGE:
            return difference_hash(split.image(index))
        # JPEGs are decoded at an eighth of their size, which is quick; OpenCV turns them upright.
        small = opencv_pixels(split.image_bytes(index), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        return difference_hash(split.image(index) if small is None else np.asarray(small, np.uint8))

    found = np.array(list(prefetch_map(one, range(len(split)), cores())), np.uint8)
    found = found.reshape(len(split), SIDE * SIDE // 8)
    ones = _ONES[found].sum(1)
    found[(ones < PLAIN) | (ones > SIDE * SIDE - PLAIN)] = 0
    return found


def _remark(
    name: str, splits: Mapping[str, ShardSplit], hashes: Mapping[str, NDArray[np.uint8]]
) -> Iterator[str]:
    train, other = hashes["train"].view(np.uint64), hashes[name].view(np.uint64)  # (n, 4)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(other), _TOGETHER):
        some = other[start : start + _TOGETHER]
        differ = np.zeros((len(some), len(train)), np.int16)
        for one, two in zip(some.T, train.T, strict=True):
            differ += _bits(one[:, None] ^ two[None])
        differ[~some.any(1)] = SIDE * SIDE
        nearest = differ.argmin(1)
        for row in np.flatnonzero(differ.min(1) <= NEAR).tolist():
            pairs.append((start + row, int(nearest[row])))
    if pairs:
        shown = ", ".join(
            f"{splits[name].names[one]} and {splits['train'].names[two]}"
            for one, two in pairs[:FEW]
        )
        yield (
            f"in '{name}', {len(pairs)} of {len(other)} pictures look almost like one in 'train' "
            f"({shown}{', …' if len(pairs) > FEW else ''}): scores on them are too high. Frames of "
            "one scene belong into one split: --group-by"
        )

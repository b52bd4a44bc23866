"""Statistics of a folder of shards: pictures, pixels and sizes, from the shards' headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.data.card import Card
from psp.data.manifest import read_manifest
from psp.data.shards import ShardSplit
from psp.data.stored_card import card_from_dict
from psp.settings.size import Size


@dataclass(frozen=True)
class SplitStatistics:
    """The statistics of one split.

    `pixels` int64 (classes + 1,): number of pixels of each class, the last entry is ignore.
    `pictures` int64 (classes,): number of pictures with pixels of the class. `smallest`, `median`
    and `largest`: sizes of the pictures with that rank by area.
    """

    name: str
    images: int
    labeled: bool
    skipped: tuple[str, ...]
    shards: int
    bytes: int
    pixels: NDArray[np.int64]
    pictures: NDArray[np.int64]
    smallest: Size
    median: Size
    largest: Size

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as a JSON object."""
        return {
            "images": self.images,
            "labels": self.labeled,
            "skipped": list(self.skipped),
            "shards": self.shards,
            "bytes": self.bytes,
            "pixels": self.pixels.tolist(),
            "pictures": self.pictures.tolist(),
            "smallest": list(self.smallest),
            "median": list(self.median),
            "largest": list(self.largest),
        }


@dataclass(frozen=True)
class Statistics:
    """A folder of shards: the card, how pictures are stored, and its splits."""

    folder: Path
    card: Card
    conversion: Mapping[str, Any]
    splits: tuple[SplitStatistics, ...]

    def absent(self) -> tuple[str, ...]:
        """Return the names of classes that occur in no labeled picture."""
        pictures = np.zeros(len(self.card.names), np.int64)
        for split in self.splits:
            pictures += split.pictures
        return tuple(
            name for name, count in zip(self.card.names, pictures, strict=True) if count == 0
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as a JSON object."""
        return {
            "dataset": self.card.name,
            "conversion": dict(self.conversion),
            "classes": list(self.card.names),
            "never_occur": list(self.absent()),
            "splits": {split.name: split.to_dict() for split in self.splits},
        }


def read_statistics(folder: Path) -> Statistics:
    """Return the statistics of a folder of shards. Raises ShardError if missing or damaged."""
    manifest = read_manifest(folder)
    card = card_from_dict(manifest["card"])
    order = [split.name for split in card.splits if split.name in manifest["splits"]]
    return Statistics(
        folder=folder,
        card=card,
        conversion=manifest["conversion"],
        splits=tuple(_count(folder, name, card, manifest["splits"][name]) for name in order),
    )


def _count(folder: Path, split: str, card: Card, entry: Mapping[str, Any]) -> SplitStatistics:
    """Return the statistics of a split. Only one shard's tables are in memory at a time."""
    pixels = np.zeros(len(card.classes) + 1, np.int64)
    pictures = np.zeros(len(card.classes), np.int64)
    sizes = []
    for shard in entry["shards"]:
        shards = ShardSplit(folder, split, only=shard["file"])
        pixels += shards.pixels.sum(axis=0)
        pictures += (shards.pixels[:, :-1] > 0).sum(axis=0)
        sizes.append(shards.sizes)
    all_sizes = np.concatenate(sizes)
    order = np.argsort(all_sizes.astype(np.int64).prod(axis=1), kind="stable")

    def rank(position: int) -> Size:
        height, width = all_sizes[order[position]]
        return Size(int(width), int(height))

    return SplitStatistics(
        name=split,
        images=len(all_sizes),
        labeled=entry["labels"],
        skipped=tuple(entry["skipped"]),
        shards=len(entry["shards"]),
        bytes=sum(shard["bytes"] for shard in entry["shards"]),
        pixels=pixels,
        pictures=pictures,
        smallest=rank(0),
        median=rank(len(all_sizes) // 2),
        largest=rank(-1),
    )

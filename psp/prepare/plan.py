"""The plan of a conversion: the pairs of every split, found and counted before decoding.

The size and time of each input file are read once, here. They decide which files are missing, how
the pairs are divided into shards, and whether finished shards are still valid.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from psp.data.card import Card, SplitEntry
from psp.errors import PspError
from psp.images.heif import AVIF_SUFFIXES, HEIF_SUFFIXES
from psp.images.kinds import LeftOut
from psp.images.pictures import picture_size
from psp.images.reading import PictureError
from psp.prepare.conversion import Conversion
from psp.prepare.layouts.layout import Pair, Source
from psp.prepare.layouts.places import folders_there
from psp.prepare.layouts.registry import find_download, find_layout
from psp.prepare.missing import MissingError, located, missing_message


@dataclass(frozen=True, slots=True)
class Item:
    """A pair of files with their sizes in bytes and modification times in nanoseconds."""

    pair: Pair
    image_bytes: int
    label_bytes: int
    image_time: int
    label_time: int


@dataclass(frozen=True)
class PlannedShard:
    """The pairs of one shard, and a digest of everything that its bytes depend on."""

    split: SplitEntry
    index: int
    items: list[Item]
    digest: str

    @property
    def stem(self) -> str:
        """The shard's file name without suffix."""
        return f"{self.split.name}-{self.index:05d}"

    @property
    def file(self) -> str:
        """The shard's file name."""
        return f"{self.stem}.h5"


@dataclass(frozen=True)
class Plan:
    """The pairs of every split that was found, and remarks on what was not."""

    card: Card
    conversion: Conversion
    splits: dict[SplitEntry, list[Item]]
    remarks: list[str]
    missing: dict[str, str]  # files that should be there, and the line of a list that says so
    shard_bytes: int
    left_out: dict[Path, LeftOut] = field(default_factory=dict)  # files not used, by folder

    @property
    def unused(self) -> list[str]:
        """One line for each folder in which there are files that are not used."""
        return [f"{path}: {others}" for path, others in self.left_out.items() if str(others)]

    @property
    def images(self) -> dict[str, int]:
        """The number of pictures in each split."""
        return {split.name: len(items) for split, items in self.splits.items()}

    @property
    def newest(self) -> int:
        """The latest modification time of an input file, in nanoseconds."""
        return max(max(i.image_time, i.label_time) for i in self._items())

    @property
    def bytes(self) -> int:
        """The size of all input files together."""
        return sum(item.image_bytes + item.label_bytes for item in self._items())

    @property
    def options(self) -> str:
        """A digest of the card, the conversion, and the size of shards."""
        return self._digest(self.conversion.header()).hexdigest()

    @property
    def names(self) -> str:
        """A digest of the names of the pictures of each split."""
        digest = hashlib.sha256()
        for split, items in self.splits.items():
            for item in items:
                digest.update(f"{split.name}\0{item.pair.name}\0".encode())
        return digest.hexdigest()

    @property
    def source(self) -> str:
        """A digest of the card, the conversion, and every input file's name and size."""
        digest = self._digest(self.conversion.to_dict())
        for split, items in self.splits.items():
            for item in items:
                record = [split.name, item.pair.name, item.image_bytes, item.label_bytes]
                digest.update(json.dumps(record).encode())
        return digest.hexdigest()

    def shards(self) -> Iterator[PlannedShard]:
        """Yield the shards: the sorted pairs, divided by their sizes before anything is read."""
        for split, items in self.splits.items():
            for index, group in enumerate(self._groups(items)):
                digest = self._digest(self.conversion.header())
                for item in group:
                    record = [
                        str(item.pair.image),
                        str(item.pair.label),
                        item.image_bytes,
                        item.label_bytes,
                        item.image_time,
                        item.label_time,
                    ]
                    digest.update(json.dumps(record).encode())
                yield PlannedShard(split, index, group, digest.hexdigest())

    def stored_bytes(self, item: Item) -> int:
        """Return about how many bytes a pair will take in a shard."""
        drawn = item.pair.drawn
        if drawn is not None and drawn.frame is not None:
            width, height = drawn.size or (1920, 1080)
            return 2 * width * height  # about what a frame takes as PNG
        if self.conversion.store == "raw":
            return 4 * self._area(item)
        if drawn is not None and isinstance(drawn.drawn, tuple):
            return item.image_bytes  # shapes, which are in one file for many pictures, take little
        if item.pair.image.suffix.lower() in HEIF_SUFFIXES | AVIF_SUFFIXES:
            return 2 * self._area(item) + item.label_bytes  # about what a photo takes as PNG
        return item.image_bytes + item.label_bytes

    def _area(self, item: Item) -> int:
        try:
            height, width = picture_size(item.pair.image)
        except PictureError:
            return 0  # reported when it is decoded
        side = self.conversion.max_side or max(height, width)
        scale = min(1, side / max(height, width))
        return round(height * scale) * round(width * scale)

    def _items(self) -> Iterator[Item]:
        return (item for items in self.splits.values() for item in items)

    def _digest(self, conversion: dict[str, Any]) -> "hashlib._Hash":
        text = json.dumps([self.card.to_json(), conversion, self.shard_bytes])
        return hashlib.sha256(text.encode())

    def _groups(self, items: list[Item]) -> Iterator[list[Item]]:
        group: list[Item] = []
        total = 0
        for item in items:
            size = self.stored_bytes(item)
            if group and total + size > self.shard_bytes:
                yield group
                group, total = [], 0
            group.append(item)
            total += size
        yield group


def make_plan(
    source: Source, conversion: Conversion, shard_bytes: int, allow_incomplete: bool
) -> Plan:
    """Find the pairs of every split.

    Raises PspError if the download is not the card's or is incomplete (MissingError, unless
    `allow_incomplete` is set), or if a list in it is broken.
    """
    card, raw = source.card, source.raw
    layout = find_layout(card)
    if source.sbd is not None and layout.sbd_split not in {split.name for split in card.splits}:
        needed = f" '{layout.sbd_split}'" if layout.sbd_split else ""
        raise PspError(
            f"--sbd: card {card.name} has no split{needed} that needs it. Leave out --sbd"
        )
    root = find_download(raw, layout)
    # Own photos are upright everywhere; official sets stay as their authors have them.
    conversion = replace(conversion, upright=layout.own)
    plan = Plan(card, conversion, {}, [], {}, shard_bytes)
    official = not layout.own and card.origin is not None
    incomplete: list[str] = []  # errors, or remarks if the download may be incomplete
    missing = plan.missing
    for split in card.splits:
        found = located(layout, source, root, split, official)
        plan.remarks.extend(text for text in found.remarks if text not in plan.remarks)
        plan.left_out.update(found.left_out)  # splits may share a folder
        if found.pairs is None:
            continue
        pairs = _without_dropped(found.pairs, card, plan.remarks)
        items, absent, without_picture = _existing(pairs)
        if not split.required and not items:
            if pairs:
                plan.remarks.append(f"split '{split.name}': left out, its files are missing")
            continue
        missing |= absent
        if absent:
            what = f"{len(absent)} files are missing"
            if without_picture:
                what += f"; {without_picture} masks have no picture"
            incomplete.append(f"split '{split.name}': {what}")
        expected = split.images
        if expected is not None and len(items) != expected:
            incomplete.append(
                f"split '{split.name}' has {len(items)} of the {expected} images of {card.name}"
            )
        elif not items and absent:
            pass  # said above
        elif not items and split.fraction is not None:
            incomplete.append(
                f"split '{split.name}': its fraction, {split.fraction:g} of so few pictures, is "
                "not one picture"
            )
        elif not items:
            incomplete.append(f"split '{split.name}' of {card.name} has no pictures")
        if items:
            plan.splits[split] = items
    if incomplete and not allow_incomplete:
        message = missing_message(raw, missing, incomplete, plan.unused, official=official)
        raise MissingError(message, list(missing))
    plan.remarks.extend(incomplete)
    if not plan.splits:
        remedy = "Give the folder of the unpacked download."
        if card.folders:
            remedy = (
                f"The card expects them in {card.folders.images}, masks in {card.folders.masks}."
                f"{folders_there(root)}"
            )
        there = f" ({'; '.join(plan.unused)})" if plan.unused else ""
        raise PspError(f"{raw}: no pictures of {card.name} found{there}. {remedy}")
    plan.remarks.extend(_shared_pictures(plan.splits))
    return plan


def _without_dropped(pairs: list[Pair], card: Card, remarks: list[str]) -> list[Pair]:
    """Return the pairs that the card does not drop; add a remark on those it does."""
    dropped = [pair.name for pair in pairs if pair.name in card.drop]
    if dropped:
        remarks.append(f"left out, because the card drops them: {', '.join(dropped)}")
    return [pair for pair in pairs if pair.name not in card.drop]


def _existing(pairs: list[Pair]) -> tuple[list[Item], dict[str, str], int]:
    """Return the pairs whose files exist, and the missing files with the lines that name them.

    Also how many masks there are without their picture.
    """
    items, absent, without_picture = [], {}, 0
    for pair in pairs:
        image = _status(pair.image)
        label = _status(pair.label) if pair.label is not None else (0, 0)
        if image is None:
            absent[str(pair.image)] = pair.listed
            without_picture += pair.label is not None and label is not None
        if label is None:
            assert pair.label is not None
            absent[str(pair.label)] = pair.listed
        if image is not None and label is not None:
            items.append(Item(pair, image[0], label[0], image[1], label[1]))
    return items, absent, without_picture


def _status(path: Path) -> tuple[int, int] | None:
    """Return the size and time of a regular file; None if there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - three times as fast as Path.stat, for 20,000 pairs
    except (OSError, ValueError):
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _shared_pictures(splits: dict[SplitEntry, list[Item]]) -> list[str]:
    """Return a remark for each two splits, one of them for scoring, that share pictures."""
    remarks = []
    for first, second in combinations(splits, 2):
        if not {first.name, second.name} & {"val", "test"}:
            continue
        files = {_picture_of(item) for item in splits[first] if not _is_bad(item)}
        shared = sum(_picture_of(item) in files for item in splits[second] if not _is_bad(item))
        if shared:
            remarks.append(
                f"splits '{first.name}' and '{second.name}' have {shared} pictures in common: "
                "scores on them would be too high"
            )
    return remarks


def _picture_of(item: Item) -> tuple[Path, int | None]:
    """Return the file of a picture and, if that is a video, the frame."""
    return item.pair.image, item.pair.drawn.frame if item.pair.drawn else None


def _is_bad(item: Item) -> bool:
    """Whether an export's record of the picture has a problem, so that no picture is known."""
    return item.pair.drawn is not None and bool(item.pair.drawn.problem)

"""What will be converted: the pairs of every split, found and counted before anything is decoded.

Each input file's status is taken once, here: it decides what is missing, how the pairs are cut into
shards, and whether finished shards still hold.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from psp.data.card import Card, SplitEntry
from psp.errors import PspError
from psp.images import PictureError, picture_size
from psp.prepare.convert import Conversion
from psp.prepare.layouts.layout import Pair, Source
from psp.prepare.layouts.registry import find_download, find_layout
from psp.prepare.layouts.voc import AUGMENTED


@dataclass(frozen=True, slots=True)
class Item:
    """A pair of files with what the disk says of them: sizes in bytes, times in nanoseconds."""

    pair: Pair
    image_bytes: int
    label_bytes: int
    image_time: int
    label_time: int


@dataclass(frozen=True)
class PlannedShard:
    """The pairs of one shard, and a digest of everything that decides its bytes."""

    split: SplitEntry
    number: int
    items: list[Item]
    digest: str

    @property
    def stem(self) -> str:
        """The shard's name without its file type."""
        return f"{self.split.name}-{self.number:05d}"

    @property
    def file(self) -> str:
        """The shard's file name."""
        return f"{self.stem}.h5"


@dataclass(frozen=True)
class Plan:
    """The pairs of every split that is there, and remarks on what is not."""

    card: Card
    conversion: Conversion
    splits: dict[SplitEntry, list[Item]]
    remarks: list[str]
    missing: list[str]  # files that should be there
    shard_bytes: int

    @property
    def images(self) -> dict[str, int]:
        """How many pictures each split has."""
        return {split.name: len(items) for split, items in self.splits.items()}

    @property
    def newest(self) -> int:
        """When the youngest input file was changed, in nanoseconds."""
        return max(max(i.image_time, i.label_time) for i in self._items())

    @property
    def bytes(self) -> int:
        """The size of all input files."""
        return sum(item.image_bytes + item.label_bytes for item in self._items())

    @property
    def source(self) -> str:
        """A digest of the card, the conversion, and every input file's name and size."""
        digest = self._digest()
        for split, items in self.splits.items():
            for item in items:
                record = [split.name, item.pair.name, item.image_bytes, item.label_bytes]
                digest.update(json.dumps(record).encode())
        return digest.hexdigest()

    def shards(self) -> Iterator[PlannedShard]:
        """Yield the shards: the sorted pairs, cut by their sizes before anything is read."""
        for split, items in self.splits.items():
            for number, group in enumerate(self._groups(items)):
                digest = self._digest()
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
                yield PlannedShard(split, number, group, digest.hexdigest())

    def stored_bytes(self, item: Item) -> int:
        """Return about how much a pair will take in a shard."""
        if self.conversion.store == "raw":
            return 4 * self._area(item)
        return item.image_bytes + item.label_bytes

    def _area(self, item: Item) -> int:
        try:
            height, width = picture_size(item.pair.image)
        except PictureError:
            return 0  # it will be named when it is decoded
        side = self.conversion.max_side or max(height, width)
        scale = min(1, side / max(height, width))
        return round(height * scale) * round(width * scale)

    def _items(self) -> Iterator[Item]:
        return (item for items in self.splits.values() for item in items)

    def _digest(self) -> "hashlib._Hash":
        text = json.dumps([self.card.to_json(), self.conversion.to_dict(), self.shard_bytes])
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


class MissingError(PspError):
    """Files that the data set should have are not there; `files` names them all."""

    def __init__(self, message: str, files: list[str]) -> None:
        super().__init__(message)
        self.files = files


def make_plan(
    source: Source, conversion: Conversion, shard_bytes: int, allow_incomplete: bool
) -> Plan:
    """Find the pairs of every split. Raises PspError for what is missing or not as it should be."""
    card, raw = source.card, source.raw
    if source.sbd is not None and (
        card.layout != "voc" or AUGMENTED not in {split.name for split in card.splits}
    ):
        raise PspError(f"--sbd: card {card.name} has no split '{AUGMENTED}' to make of it.")
    root = find_download(raw, card.layout, card.name)
    plan = Plan(card, conversion, {}, [], [], shard_bytes)
    lost: list[str] = []  # what is wrong, unless the download may be incomplete
    missing = plan.missing
    for split in card.splits:
        found = find_layout(card.layout, card.name).pairs(source, root, split)
        plan.remarks.extend(found.remarks)
        if found.pairs is None:
            continue
        pairs = _without_dropped(found.pairs, card, plan.remarks)
        items, absent = _look(pairs)
        if not split.required and not items:
            if pairs:
                plan.remarks.append(f"split '{split.name}': its files are not there, left out")
            continue
        missing += [str(path) for path in absent]
        if absent:
            lost.append(f"split '{split.name}': {len(absent)} files are missing")
        promised = split.images
        if promised is not None and len(items) != promised:
            lost.append(
                f"split '{split.name}' has {len(items)} of the {promised} images of {card.name}"
            )
        elif not items:
            lost.append(f"split '{split.name}' of {card.name} has no pictures")
        if items:
            plan.splits[split] = items
    if lost and not allow_incomplete:
        raise MissingError(_complaint(raw, missing, lost), missing)
    plan.remarks.extend(lost)
    if not plan.splits:
        where = "Give the unpacked download."
        if card.folders:
            where = (
                f"The card expects them in {card.folders.images}, masks in {card.folders.masks}."
            )
        raise PspError(f"{raw}: no pictures of {card.name} found. {where}")
    plan.remarks.extend(_leaks(plan.splits))
    return plan


def _complaint(raw: Path, missing: list[str], lost: list[str]) -> str:
    what = f"{missing[0]}: missing" if missing else f"{raw}: {lost[0]}"
    if len(missing) > 1:
        what += f" and {len(missing) - 1} more files"
    more = "; ".join(lost if missing else lost[1:])
    return (
        f"{what}{f' ({more})' if more else ''}. "
        "Unpack the download again, or take what is there with --allow-incomplete"
    )


def _without_dropped(pairs: list[Pair], card: Card, remarks: list[str]) -> list[Pair]:
    """Leave out what the card says to drop, and say so."""
    dropped = [pair.name for pair in pairs if pair.name in card.drop]
    if dropped:
        remarks.append(f"left out, as the card says: {', '.join(dropped)}")
    return [pair for pair in pairs if pair.name not in card.drop]


def _look(pairs: list[Pair]) -> tuple[list[Item], list[Path]]:
    """Return the pairs whose files are there, and the files that are not."""
    items, absent = [], []
    for pair in pairs:
        image = _status(pair.image)
        label = _status(pair.label) if pair.label is not None else (0, 0)
        if image is None:
            absent.append(pair.image)
        if label is None:
            assert pair.label is not None
            absent.append(pair.label)
        if image is not None and label is not None:
            items.append(Item(pair, image[0], label[0], image[1], label[1]))
    return items, absent


def _status(path: Path) -> tuple[int, int] | None:
    """Return a regular file's size and time; None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a third of Path.stat's time, for 20,000 pairs
    except (OSError, ValueError):
        return None
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _leaks(splits: dict[SplitEntry, list[Item]]) -> list[str]:
    """Say which pictures are both to train on and to score with."""
    remarks = []
    for one, two in combinations(splits, 2):
        if not {one.name, two.name} & {"val", "test"}:
            continue
        files = {item.pair.image for item in splits[one]}
        shared = sum(item.pair.image in files for item in splits[two])
        if shared:
            remarks.append(
                f"splits '{one.name}' and '{two.name}' have {shared} pictures in common: scores on "
                "them would be too good"
            )
    return remarks

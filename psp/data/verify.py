"""psp verify: every byte and every label value of a folder of shards.

The manifest's SHA-256 of a file finds any change in it; the checksum that each sample has of its
own says in which one. Labels are decoded and counted again: their values and their histogram must
be what the shard's header says. Shards that the manifest does not name are found as well.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from psp.data.card import IGNORE
from psp.data.manifest import ANEW, ShardError, read_manifest
from psp.data.shards import ShardSplit
from psp.files import file_sha256
from psp.images import PictureError, histogram
from psp.workers import map_in_processes

SAMPLES = 64  # so many are checked between two reports


@dataclass(frozen=True)
class Chunk:
    """Samples start..stop of one shard; `entry` is what the manifest says of the shard."""

    split: str
    entry: dict[str, Any]
    start: int
    stop: int


@dataclass(frozen=True)
class Verified:
    """So many samples of all are checked."""

    done: int
    total: int


def verify(
    folder: Path, workers: int = 1, report: Callable[[Verified], None] = lambda event: None
) -> tuple[int, list[str]]:
    """Check all shards; return how many samples there are, and a line for each problem.

    Raises ShardError when the folder or its manifest cannot be read at all.
    """
    manifest = read_manifest(folder)
    parts = list(_parts(folder, manifest))
    total, done = sum(part.stop - part.start for part in parts), 0
    problems = _strays(folder, {part.entry["file"] for part in parts})
    items = ((part, part.entry["bytes"]) for part in parts)
    results = map_in_processes(Checker, (folder, manifest), items, min(workers, len(parts)))
    for part, found in zip(parts, results, strict=True):
        problems += found
        done += part.stop - part.start
        report(Verified(done, total))
    return total, problems


def _strays(folder: Path, known: set[str]) -> list[str]:
    """Name the shards that the manifest does not: it lost them, or they came from elsewhere."""
    return [
        f"{path}: a shard that the manifest does not name. {ANEW}"
        for path in sorted(folder.glob("*.h5"))
        if path.name not in known
    ]


def _parts(folder: Path, manifest: dict[str, Any]) -> Iterator[Chunk]:
    for split, record in manifest["splits"].items():
        for entry in record["shards"]:
            path = folder / entry["file"]
            size = path.stat().st_size if path.is_file() else 0
            count = min(entry["images"], size)  # a damaged number makes no endless list
            for start in range(0, max(1, count), SAMPLES):
                yield Chunk(split, entry, start, min(start + SAMPLES, count))


class Checker:
    """Checks parts of shards, one after the other; keeps the last shard open."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.opened: tuple[str, ShardSplit | None] = ("", None)

    def __call__(self, part: Chunk) -> list[str]:
        """Return the problems of a part; those of the whole file come with its first."""
        path = self.folder / part.entry["file"]
        problems: list[str] = []
        if part.start == 0:
            problems += self._file(path, part)
        try:
            shards = self._open(part)
        except ShardError as error:
            return [*problems, str(error)] if part.start == 0 else []
        if part.start == 0:
            problems += self._header(path, part, shards)
        for index in range(part.start, min(part.stop, len(shards))):
            problems += _sample(path, shards, index)
        return problems

    def _open(self, part: Chunk) -> ShardSplit:
        if self.opened[0] != part.entry["file"]:
            if self.opened[1] is not None:
                self.opened[1].close()
            self.opened = ("", None)
            self.opened = (
                part.entry["file"],
                ShardSplit(self.folder, part.split, only=part.entry["file"]),
            )
        assert self.opened[1] is not None
        return self.opened[1]

    def _file(self, path: Path, part: Chunk) -> list[str]:
        try:
            found = file_sha256(path)
        except OSError:
            return []  # opening it says why
        if found == part.entry["sha256"]:
            return []
        return [f"{path}: its SHA-256 is not the manifest's: it was changed. {ANEW}"]

    def _header(self, path: Path, part: Chunk, shards: ShardSplit) -> list[str]:
        differs = {
            "card": json.loads(shards.card.to_json()) != self.manifest["card"],
            "split": shards.stored_split != part.split,
            "having labels": shards.labeled != self.manifest["splits"][part.split]["labels"],
            "conversion": shards.conversion != self.manifest["conversion"],
            "number of samples": len(shards) != part.entry["images"],
            "label histogram": shards.pixels.sum(axis=0).tolist() != part.entry["pixels"],
        }
        problems = [
            f"{path}: its {what} is not the manifest's. {ANEW}"
            for what, differing in differs.items()
            if differing
        ]
        if len(set(shards.names)) != len(shards):
            problems.append(f"{path}: a name stands twice in it. {ANEW}")
        return problems


def _sample(path: Path, shards: ShardSplit, index: int) -> list[str]:
    """Return what is wrong with one sample."""
    where = f"{path}: sample '{shards.names[index]}'"
    classes = len(shards.card.classes)
    problems = []
    try:
        shards.image_bytes(index)
    except ShardError as error:
        problems.append(str(error))
    try:
        if shards.labeled:
            label = shards.label(index)
            counts = histogram(label)
            strange = np.flatnonzero(counts[classes:IGNORE]) + classes
            if label.shape != tuple(shards.sizes[index]):
                problems.append(f"{where}: the label has not the size of the picture. {ANEW}")
            elif len(strange):
                problems.append(f"{where}: label values {strange.tolist()} are no class. {ANEW}")
            elif [*counts[:classes], counts[IGNORE]] != shards.pixels[index].tolist():
                problems.append(f"{where}: the label is not what the header counts. {ANEW}")
        else:
            shards.label_bytes(index)
    except (ShardError, PictureError) as error:
        problems.append(str(error))
    return problems

"""psp verify: check every byte and every label value of a folder of shards.

The manifest's SHA-256 of a file finds any change in it; each sample's own checksum tells which
sample was changed. Labels are decoded and counted again: their values and their histogram must
agree with the shard's header. Shards that are not in the manifest are reported, too.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from psp.data.card import IGNORE
from psp.data.manifest import REMAKE, ShardError, read_manifest
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.events import Progress, Report, ignore
from psp.files import file_sha256
from psp.images.labels import histogram
from psp.images.reading import PictureError
from psp.ranks import Share
from psp.workers import map_in_processes

SAMPLES = 64  # in a chunk: how many are checked between two progress reports


@dataclass(frozen=True)
class Chunk:
    """Samples start..stop of one shard; `entry` is the shard's entry in the manifest."""

    split: str
    entry: dict[str, Any]
    start: int
    stop: int


def verify(
    folder: Path,
    workers: int = 1,
    report: Report = ignore,
    share: Share = Share(),  # noqa: B008 - it is frozen
) -> tuple[int, list[str]]:
    """Check a share of the shards; return their number of samples, and a line for each problem.

    Raises ShardError if the folder is not a folder of shards or its manifest cannot be read.
    """
    manifest = read_manifest(folder)
    entries = [(name, e) for name, split in manifest["splits"].items() for e in split["shards"]]
    chunks = list(_chunks(folder, share.of(entries)))
    total, done = sum(chunk.stop - chunk.start for chunk in chunks), 0
    problems = list(share.of(_unlisted_shards(folder, {entry["file"] for _, entry in entries})))
    items = ((chunk, chunk.entry["bytes"]) for chunk in chunks)
    results = map_in_processes(Checker, (folder, manifest), items, min(workers, len(chunks)))
    for chunk, new in zip(chunks, results, strict=True):
        problems += new
        done += chunk.stop - chunk.start
        report(Progress(done, total, "samples"))
    return total, problems


def _unlisted_shards(folder: Path, known: set[str]) -> list[str]:
    """Return a line for each shard that is not in the manifest."""
    return [
        f"{path}: a shard that is not in the manifest. {REMAKE}"
        for path in sorted(folder.glob("*.h5"))
        if path.name not in known
    ]


def _chunks(folder: Path, entries: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[Chunk]:
    for split, entry in entries:
        path = folder / entry["file"]
        size = path.stat().st_size if path.is_file() else 0
        count = min(entry["images"], size)  # a damaged number must not give endless chunks
        for start in range(0, max(1, count), SAMPLES):
            yield Chunk(split, entry, start, min(start + SAMPLES, count))


class Checker:
    """Checks chunks of shards, one after the other; keeps the last shard open."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.opened: tuple[str, ShardSplit | None] = ("", None)

    def __call__(self, chunk: Chunk) -> list[str]:
        """Return the problems in a chunk; a shard's first chunk has those of the file as well."""
        path = self.folder / chunk.entry["file"]
        problems: list[str] = []
        if chunk.start == 0:
            problems += self._file(path, chunk)
        try:
            shards = self._open(chunk)
            _ = shards.names, shards.pixels  # read here, where they may be damaged
        except ShardError as error:
            return [*problems, str(error)] if chunk.start == 0 else []
        if chunk.start == 0:
            problems += self._header(path, chunk, shards)
        for index in range(chunk.start, min(chunk.stop, len(shards))):
            problems += _sample(path, shards, index)
        return problems

    def _open(self, chunk: Chunk) -> ShardSplit:
        if self.opened[0] != chunk.entry["file"]:
            if self.opened[1] is not None:
                self.opened[1].close()
            self.opened = ("", None)
            self.opened = (
                chunk.entry["file"],
                ShardSplit(self.folder, chunk.split, only=chunk.entry["file"], checked=False),
            )
        assert self.opened[1] is not None
        return self.opened[1]

    def _file(self, path: Path, chunk: Chunk) -> list[str]:
        try:
            sha256 = file_sha256(path)
        except (OSError, PspError):
            return []  # reported when it is opened
        if sha256 == chunk.entry["sha256"]:
            return []
        return [f"{path}: it was changed, its SHA-256 is not that in the manifest. {REMAKE}"]

    def _header(self, path: Path, chunk: Chunk, shards: ShardSplit) -> list[str]:
        differs = {
            "card": json.loads(shards.card.to_json()) != self.manifest["card"],
            "split": shards.stored_split != chunk.split,
            "presence of labels": shards.labeled != self.manifest["splits"][chunk.split]["labels"],
            "conversion": shards.conversion != self.manifest["conversion"],
            "label histogram": shards.pixels.sum(axis=0).tolist() != chunk.entry["pixels"],
        }
        problems = shards.faults() + [
            f"{path}: its {what} is not that in the manifest. {REMAKE}"
            for what, differing in differs.items()
            if differing
        ]
        if len(set(shards.names)) != len(shards):
            problems.append(f"{path}: two samples have the same name. {REMAKE}")
        return problems


def _sample(path: Path, shards: ShardSplit, index: int) -> list[str]:
    """Return a line for each thing that is wrong with a sample."""
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
            unknown = np.flatnonzero(counts[classes:IGNORE]) + classes
            if label.shape != tuple(shards.sizes[index]):
                problems.append(f"{where}: label and picture differ in size. {REMAKE}")
            elif len(unknown):
                problems.append(
                    f"{where}: label values {unknown.tolist()} are not classes. {REMAKE}"
                )
            elif [*counts[:classes], counts[IGNORE]] != shards.pixels[index].tolist():
                problems.append(f"{where}: the label's histogram is not the header's. {REMAKE}")
        else:
            shards.label_bytes(index)
    except (ShardError, PictureError) as error:
        problems.append(str(error))
    return problems

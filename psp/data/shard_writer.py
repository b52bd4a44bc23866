"""Writes a shard from staged samples. `shards.py` describes the format."""

import contextlib
import io
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from psp.data.card import Card
from psp.data.label_codec import label_codec
from psp.data.manifest import FORMAT, VERSION
from psp.data.shard_header import CHECKSUMS, header_checksum
from psp.data.staging import Staged
from psp.files import atomic_write, file_sha256

TABLES = ("size", "crc32", "pixels", "name", "images/offsets", "labels/offsets")
ENCODED = {"store": "encoded", "reencode": None, "max_side": None, "labels": label_codec()}


def write_shard(
    path: Path,
    split: str,
    card: Card,
    samples: Sequence[Staged],
    *,
    labeled: bool = True,
    conversion: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a shard of at least one sample and return its entry in the manifest.

    The samples' staging files are in the shard's folder, and stay there. They are copied in blocks,
    so little of them is in memory at a time.
    """
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(atomic_write(path))
        staging = {
            name: stack.enter_context((path.parent / name).open("rb", buffering=0))
            for name in {sample.file for sample in samples}
        }
        lengths = np.array([sample.lengths for sample in samples], np.int64)  # (n, 3)
        ends = lengths.cumsum(axis=1)
        positions = [(staging[sample.file], sample.start) for sample in samples]

        def fill(dataset: Any, column: int) -> None:
            before = ends[:, column] - lengths[:, column]
            _fill(
                dataset,
                [
                    (file, start + int(skip), int(length))
                    for (file, start), skip, length in zip(
                        positions, before, lengths[:, column], strict=True
                    )
                ],
            )

        # A fixed file version and no timestamps, so that the same samples give the same bytes.
        with h5py.File(temporary, "w", libver=("v108", "v108"), locking=False) as file:
            for column, kind in enumerate(("images", "labels")):
                offsets = np.concatenate([[0], lengths[:, column].cumsum()])
                fill(file.create_dataset(f"{kind}/bytes", offsets[-1:], np.uint8), column)
                file[f"{kind}/offsets"] = offsets
            file["size"] = np.array([sample.size for sample in samples], np.int32)
            file["crc32"] = np.array([sample.crc32 for sample in samples], np.uint32)
            shape = (len(samples), len(card.classes) + 1)
            fill(file.create_dataset("pixels", shape, np.int64), 2)
            encoded = [sample.name.encode() for sample in samples]
            kind = h5py.string_dtype("utf-8", max(map(len, encoded)))
            file.create_dataset("name", data=np.array(encoded, kind), dtype=kind)
            header = {
                "format": FORMAT,
                "version": str(VERSION),
                "card": card.to_json(),
                "split": split,
                "labels": "yes" if labeled else "no",
                "conversion": json.dumps(conversion or ENCODED, sort_keys=True),
                "made_by": "psp prepare",
            }
            texts = {key: value.encode() for key, value in header.items()}
            sums = {name: _checksum(file[name]) for name in TABLES}
            sums["header"] = header_checksum(texts)
            texts[CHECKSUMS] = json.dumps(sums, sort_keys=True).encode()
            for key, text in texts.items():
                file.attrs[key] = np.bytes_(text)
    return shard_entry(path)


def _checksum(table: Any) -> int:
    """Return the CRC-32 of a table's bytes, of which few are in memory at a time."""
    checksum = 0
    for start in range(0, len(table), 4096):
        checksum = zlib.crc32(table[start : start + 4096].tobytes(), checksum)
    return checksum


def _fill(dataset: Any, extents: Iterable[tuple[io.FileIO, int, int]]) -> None:
    """Fill a dataset with the bytes at (file, start, length), one extent after the other."""
    row_bytes = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    block = np.empty(max(1, (1 << 18) // row_bytes) * row_bytes, np.uint8)  # fits into the cache
    used = done = 0  # bytes in the block, rows in the dataset

    def flush() -> None:
        nonlocal used, done
        rows = block[:used].view(dataset.dtype).reshape(-1, *dataset.shape[1:])
        dataset[done : done + len(rows)] = rows
        used, done = 0, done + len(rows)

    for file, start, length in extents:
        file.seek(start)
        while length:
            count = file.readinto(block[used : used + length].data)
            assert count, "a staging file was truncated"
            used, length = used + count, length - count
            if used == len(block):
                flush()
    if used:
        flush()


def shard_entry(path: Path) -> dict[str, Any]:
    """Return a finished shard's entry in the manifest: file, images, bytes, sha256, pixels."""
    with h5py.File(path, "r", locking=False) as file:
        table = file["pixels"]
        images, pixels = len(table), np.zeros(table.shape[1], np.int64)
        for start in range(0, images, 4096):
            pixels += table[start : start + 4096].sum(axis=0)
    return {
        "file": path.name,
        "images": images,
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "pixels": pixels.tolist(),
    }

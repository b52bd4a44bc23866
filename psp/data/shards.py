"""HDF5 shards: the only files that training and evaluation read. Their format, and the reader.

    /images/bytes    uint8 (total,)   the original files, one after the other
    /images/offsets  int64 (n + 1,)   image i is bytes[offsets[i]:offsets[i + 1]]
    /labels/bytes    uint8 (total,)   zstd frames of H·W class ids, 255 = ignore
    /labels/offsets  int64 (n + 1,)
    /size            int32 (n, 2)     height, width
    /crc32           uint32 (n, 2)    of the image's and the label's bytes
    /name            utf-8 (n,)       unique within a split
    /pixels          int64 (n, classes + 1)   label histogram; the last column is ignore

Root attributes: format, version, card (JSON), split, labels ("yes" or "no"), conversion (JSON),
made_by, and since 0.2.0 checksums (JSON): the CRC-32 of the bytes of each table but those of images
and labels, and as "header" of card, split, labels and conversion, joined by zero bytes. Those of
sizes, offsets and crc32 are checked when a shard is opened, others when the table is first read.
A higher version, or a name that is not listed here, means that a newer psp wrote the file.
If conversion has "store": "raw", images are uint8 (H, W, 3) RGB and labels uint8 (H, W), row by
row. Labels of encoded shards whose conversion has no "labels" (version 2) are gray PNGs. A split
without labels has no label bytes and zeros in /pixels. Everything is stored contiguously: a reader
takes the offsets once and then reads the file without HDF5, without locks and safely from several
processes. The same samples give the same bytes.
"""

import copy
import math
import os
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.data.label_codec import decode_ids
from psp.data.manifest import MANIFEST, REMAKE, ShardError, read_manifest
from psp.data.shard_header import read_shard_header
from psp.errors import nearest
from psp.files import file_sha256
from psp.images.labels import decode_label
from psp.images.pictures import decode_checked

_KINDS = ("image", "label")  # by their column in /crc32


class ShardSplit:
    """The samples of one split of a folder of shards, in the order of their names.

    `fingerprint` is the SHA-256 of the manifest, which contains those of all shards: it identifies
    the data as they were when the split was opened.

    Open files are not passed on to other processes; each opens its own when it first reads.
    """

    def __init__(
        self, folder: Path, split: str, only: str | None = None, *, checked: bool = True
    ) -> None:
        """Read the shards' headers. Raises ShardError if the split is missing or damaged.

        `only` is the file name of one of the split's shards: the others are left out. If not
        `checked`, wrong checksums of tables are not an error; `faults` lists them.
        """
        manifest = read_manifest(folder)
        if split not in manifest["splits"]:
            known = ", ".join(manifest["splits"])
            raise ShardError(
                f"{folder}: no split '{split}' (it has: {known})."
                f"{nearest(split, manifest['splits'])}"
            )
        self.folder, self.split = folder, split
        self.fingerprint = file_sha256(folder / MANIFEST)
        headers = [
            read_shard_header(folder / entry["file"], entry, checked)
            for entry in manifest["splits"][split]["shards"]
            if only in (None, entry["file"])
        ]
        self._headers, self._count = headers, sum(len(header.sizes) for header in headers)
        self.paths = [header.path for header in headers]
        self.sha256 = {  # of each shard's file, by its name, as the manifest has it
            entry["file"]: str(entry["sha256"])
            for entry in manifest["splits"][split]["shards"]
            if only in (None, entry["file"])
        }
        self.card, self.labeled = headers[0].card, headers[0].labeled
        self.conversion = headers[0].conversion
        self.stored_split = headers[0].split  # the name in the shard; `split` is the one asked for
        self.sizes = _concatenated([header.sizes for header in headers])  # (n, 2) height, width
        counts = [len(header.sizes) for header in headers]
        self._shard = np.repeat(np.arange(len(headers)), counts)
        self._image = _concatenated([header.images for header in headers])  # (n, 2) start, length
        self._label = _concatenated([header.labels for header in headers])
        self._crc32 = _concatenated([header.crc32 for header in headers])
        self._handles: dict[tuple[int, int], int] = {}
        # Of raw samples: whether this process has checked image and label already.
        self._checked = np.zeros((self._count, 2), np.bool_)
        self._shard_names: dict[int, NDArray[np.bytes_]] = {}  # of shards of which one was asked

    def __len__(self) -> int:
        return self._count

    @cached_property
    def names(self) -> list[str]:
        """The names of the samples, read when first asked for. Raises ShardError if damaged."""
        names = [name for header in self._headers for name in header.names()]
        return names[: self._count]

    @cached_property
    def pixels(self) -> NDArray[np.int64]:
        """The label histograms, (n, classes + 1), read when first asked for.

        The last column is ignore. Raises ShardError if they are damaged.
        """
        return _concatenated([header.pixels() for header in self._headers])[: self._count]

    def histograms(self) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of `pixels`, shard by shard: together they may take gigabytes.

        Raises ShardError as `pixels`.
        """
        left = self._count
        for header in self._headers:
            if left > 0:
                table = header.pixels()[:left]
                left -= len(table)
                yield table

    @cached_property
    def class_pixels(self) -> NDArray[np.int64]:
        """The sum of all label histograms, (classes + 1,). Raises ShardError as `pixels`."""
        total = np.zeros(len(self.card.classes) + 1, np.int64)
        for table in self.histograms():
            total += table.sum(axis=0)
        return total

    def faults(self) -> list[str]:
        """Return a line for each table of the shards whose checksum is wrong."""
        return [fault for header in self._headers for fault in header.faults()]

    def first(self, count: int) -> "ShardSplit":
        """Return a split of the first `count` samples."""
        split = copy.copy(self)
        split._handles, split._count = {}, min(count, self._count)
        for name in ("names", "pixels", "class_pixels"):
            split.__dict__.pop(name, None)
        for name in ("sizes", "_shard", "_image", "_label", "_crc32"):
            setattr(split, name, getattr(self, name)[:count])
        return split

    @property
    def raw(self) -> bool:
        """Whether pictures and labels are stored as arrays instead of encoded files."""
        return bool(self.conversion["store"] == "raw")

    @property
    def checksums(self) -> NDArray[np.uint32]:
        """The CRC-32 of each stored image and label, (n, 2)."""
        return self._crc32

    @property
    def image_lengths(self) -> NDArray[np.int64]:
        """How many bytes are stored of each image, (n,)."""
        return self._image[:, 1]

    @property
    def label_lengths(self) -> NDArray[np.int64]:
        """How many bytes are stored of each label, (n,)."""
        return self._label[:, 1]

    def image_bytes(self, index: int) -> bytes:
        """Return the stored bytes of image `index`. Raises ShardError if they are damaged."""
        return self._read(index, self._image, 0)

    def label_bytes(self, index: int) -> bytes:
        """Return the stored bytes of label `index`. Raises ShardError if they are damaged."""
        return self._read(index, self._label, 1)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return image `index` as uint8 (H, W, 3) RGB. Raises ShardError if it is damaged."""
        if self.raw:
            return self._array(index, self._image, 0)
        data = self.image_bytes(index)
        turn = bool(self.conversion.get("upright"))
        return decode_checked(data, self._where(index), turn=turn)

    def image_rows(self, index: int, rows: slice) -> NDArray[np.uint8]:
        """Return an array like `image`, of which only `rows` may be read: the others are arbitrary.

        Of pictures that are stored as arrays only these rows are read, once all have been checked
        by this process. Raises ShardError if the image is damaged.
        """
        if not self.raw or not self._checked[index, 0]:
            return self.image(index)
        pixels = np.empty((*map(int, self.sizes[index]), 3), np.uint8)
        start, row = int(self._image[index, 0]), pixels[0].nbytes
        part = pixels[rows].reshape(-1)
        self._fill(index, part, start + rows.start * row, "image")
        return pixels

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return label `index` as uint8 (H, W) class ids, 255 = ignore.

        Raises ShardError if it is damaged or if the split has no labels.
        """
        if not self.labeled:
            raise ShardError(
                f"{self.folder}: split '{self.split}' has no labels. Choose another --split"
            )
        if self.raw:
            return self._array(index, self._label, 1)
        data = self.label_bytes(index)
        if "labels" not in self.conversion:
            return decode_label(data, self._where(index)).astype(np.uint8, copy=False)
        try:
            return decode_ids(data, *map(int, self.sizes[index]))
        except (ValueError, MemoryError) as error:
            remedy = REMAKE if isinstance(error, ValueError) else "Use a machine with more memory"
            raise ShardError(f"{self._where(index)}: {error}. {remedy}") from None

    def _array(self, index: int, extent: NDArray[np.int64], column: int) -> NDArray[np.uint8]:
        """Return an image or a label that is stored as an array; its checksum is checked once."""
        height, width = map(int, self.sizes[index])
        shape = (height, width) if column else (height, width, 3)
        start, length = map(int, extent[index])
        if length != math.prod(shape):
            raise ShardError(
                f"{self._where(index)}: {length} bytes do not fit its size of {width}x{height} "
                f"pixels. {REMAKE}"
            )
        pixels = np.empty(shape, np.uint8)
        self._fill(index, pixels.reshape(-1), start, _KINDS[column])
        if not self._checked[index, column]:
            self._check(index, column, pixels.data)
            self._checked[index, column] = True
        return pixels

    def _fill(self, index: int, pixels: NDArray[np.uint8], start: int, kind: str) -> None:
        """Read the bytes from `start` on into an array. Raises ShardError if there are fewer."""
        handle, done = self._handle(int(self._shard[index])), 0
        while done < len(pixels):  # a read has at most 2 GB
            count = os.preadv(handle, [pixels[done:].data], start + done)
            if not count:
                raise self._damaged(index, kind)
            done += count

    def _where(self, index: int) -> str:
        return f"{self.paths[self._shard[index]]}: sample '{self._name(index)}'"

    def _name(self, index: int) -> str:
        """Return one name, for a message. The names of its shard are read for it, once."""
        if "names" in self.__dict__:
            return self.names[index]
        shard = int(self._shard[index])
        if shard not in self._shard_names:
            self._shard_names[shard] = self._headers[shard].tables["name"].read(checked=False)
        row = index - int(np.searchsorted(self._shard, shard))
        return bytes(self._shard_names[shard][row]).decode(errors="replace")

    def _read(self, index: int, extent: NDArray[np.int64], column: int) -> bytes:
        start, length = map(int, extent[index])
        data = os.pread(self._handle(int(self._shard[index])), length, start)
        if len(data) != length:
            raise self._damaged(index, _KINDS[column])
        self._check(index, column, data)
        return data

    def _check(self, index: int, column: int, data: bytes | memoryview) -> None:
        if zlib.crc32(data) != self._crc32[index, column]:
            raise self._damaged(index, _KINDS[column])

    def _damaged(self, index: int, kind: str) -> ShardError:
        return ShardError(f"{self._where(index)}: the {kind}'s bytes are damaged. {REMAKE}")

    def _handle(self, shard: int) -> int:
        key = (os.getpid(), shard)
        if key not in self._handles:
            handle = os.open(self.paths[shard], os.O_RDONLY)
            if self._handles.setdefault(key, handle) != handle:
                os.close(handle)  # another thread opened it first
        return self._handles[key]

    def close(self) -> None:
        """Close the files that this process opened."""
        for key in [key for key in self._handles if key[0] == os.getpid()]:
            os.close(self._handles.pop(key))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}}


def _concatenated(tables: list[NDArray[Any]]) -> NDArray[Any]:
    return tables[0] if len(tables) == 1 else np.concatenate(tables)  # no copy of a single one

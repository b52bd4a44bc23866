"""HDF5 shards: the only files that training and evaluation read. Their format, and the reader.

    /images/bytes    uint8 (total,)   the original files, one after the other
    /images/offsets  int64 (n + 1,)   image i is bytes[offsets[i]:offsets[i + 1]]
    /labels/bytes    uint8 (total,)   gray PNGs of class ids, 255 = ignore
    /labels/offsets  int64 (n + 1,)
    /size            int32 (n, 2)     height, width
    /crc32           uint32 (n, 2)    of the image's and the label's bytes
    /name            utf-8 (n,)       unique within a split
    /pixels          int64 (n, classes + 1)   label histogram; the last column is ignore

Root attributes: format, version, card (JSON), split, labels ("yes" or "no"), conversion (JSON),
made_by. A higher version, or a name that is not listed here, means that a newer psp wrote the file.
If conversion has "store": "raw", images are uint8 (H, W, 3) RGB and labels uint8 (H, W), row by
row. A split without labels has no label bytes and zeros in /pixels. Everything is stored
contiguously: a reader takes the offsets once and then reads the file without HDF5, without locks
and safely from several processes. The same samples give the same bytes.
"""

import copy
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from psp.data.card import Card, NewerCardError, card_from_json
from psp.data.manifest import (
    KNOWN_CONVERSION_KEYS,
    MANIFEST,
    REMAKE,
    ShardError,
    check_keys,
    check_version,
    newer_error,
    read_manifest,
)
from psp.errors import nearest
from psp.files import file_sha256
from psp.images.labels import decode_label
from psp.images.pictures import decode_image

ATTRIBUTES = ("format", "version", "card", "split", "labels", "conversion", "made_by")
MEMBERS = ("images", "labels", "size", "crc32", "name", "pixels")


class ShardSplit:
    """The samples of one split of a folder of shards, in the order of their names.

    `fingerprint` is the SHA-256 of the manifest, which contains those of all shards: it identifies
    the data as they were when the split was opened.

    Open files are not passed on to other processes; each opens its own when it first reads.
    """

    def __init__(self, folder: Path, split: str, only: str | None = None) -> None:
        """Read the shards' headers. Raises ShardError if the split is missing or damaged.

        `only` is the file name of one of the split's shards: the others are left out.
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
            _read_header(folder / entry["file"], entry)
            for entry in manifest["splits"][split]["shards"]
            if only in (None, entry["file"])
        ]
        self.paths = [header.path for header in headers]
        self.card, self.labeled = headers[0].card, headers[0].labeled
        self.conversion = headers[0].conversion
        self.stored_split = headers[0].split  # the name in the shard; `split` is the one asked for
        self.names: list[str] = [name for header in headers for name in header.names]
        self.sizes = _concatenated([header.sizes for header in headers])  # (n, 2) height, width
        self.pixels = _concatenated([header.pixels for header in headers])  # (n, classes + 1)
        counts = [len(header.names) for header in headers]
        self._shard = np.repeat(np.arange(len(headers)), counts)
        self._image = _concatenated([header.images for header in headers])  # (n, 2) start, length
        self._label = _concatenated([header.labels for header in headers])
        self._crc32 = _concatenated([header.crc32 for header in headers])
        self._handles: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def first(self, count: int) -> "ShardSplit":
        """Return a split of the first `count` samples."""
        split = copy.copy(self)
        split._handles = {}
        split.names = self.names[:count]
        for name in ("sizes", "pixels", "_shard", "_image", "_label", "_crc32"):
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

    def image_length(self, index: int) -> int:
        """Return how many bytes are stored of image `index`."""
        return int(self._image[index, 1])

    def label_length(self, index: int) -> int:
        """Return how many bytes are stored of label `index`."""
        return int(self._label[index, 1])

    def image_bytes(self, index: int) -> bytes:
        """Return the stored bytes of image `index`. Raises ShardError if they are damaged."""
        return self._read(index, self._image, 0)

    def label_bytes(self, index: int) -> bytes:
        """Return the stored bytes of label `index`. Raises ShardError if they are damaged."""
        return self._read(index, self._label, 1)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return image `index` as uint8 (H, W, 3) RGB. Raises ShardError if it is damaged."""
        data = self.image_bytes(index)
        if self.raw:
            return self._array(index, data, 3)
        return decode_image(data, self._where(index), turn=bool(self.conversion.get("upright")))

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return label `index` as uint8 (H, W) class ids, 255 = ignore.

        Raises ShardError if it is damaged or if the split has no labels.
        """
        if not self.labeled:
            raise ShardError(
                f"{self.folder}: split '{self.split}' has no labels. Choose another --split"
            )
        data = self.label_bytes(index)
        if self.raw:
            return self._array(index, data, 1)[..., 0]
        return decode_label(data, self._where(index)).astype(np.uint8, copy=False)

    def _array(self, index: int, data: bytes, channels: int) -> NDArray[np.uint8]:
        height, width = map(int, self.sizes[index])
        if len(data) != height * width * channels:
            raise ShardError(
                f"{self._where(index)}: {len(data)} bytes do not fit its size of {width}x{height} "
                f"pixels. {REMAKE}"
            )
        return np.frombuffer(data, np.uint8).reshape(height, width, channels).copy()

    def _where(self, index: int) -> str:
        return f"{self.paths[self._shard[index]]}: sample '{self.names[index]}'"

    def _read(self, index: int, extent: NDArray[np.int64], column: int) -> bytes:
        start, length = map(int, extent[index])
        data = os.pread(self._handle(int(self._shard[index])), length, start)
        if len(data) != length or zlib.crc32(data) != self._crc32[index, column]:
            kind = ("image", "label")[column]
            raise ShardError(f"{self._where(index)}: the {kind}'s bytes are damaged. {REMAKE}")
        return data

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


@dataclass(frozen=True)
class _Header:
    path: Path
    split: str
    card: Card
    labeled: bool
    conversion: dict[str, Any]
    names: Sequence[str]
    sizes: NDArray[np.int32]
    pixels: NDArray[np.int64]
    images: NDArray[np.int64]  # (n, 2): position in the file, length
    labels: NDArray[np.int64]
    crc32: NDArray[np.uint32]


def _read_header(path: Path, entry: dict[str, Any]) -> _Header:
    if not path.exists():
        raise ShardError(f"{path}: the shard is missing. {REMAKE}")
    if path.stat().st_size != entry["bytes"]:
        raise ShardError(
            f"{path}: {path.stat().st_size} bytes, the manifest says {entry['bytes']}: "
            f"an incomplete copy? {REMAKE}"
        )
    try:
        with h5py.File(path, "r", locking=False) as file:
            check_version(path, file.attrs["format"].decode(), int(file.attrs["version"]))
            check_keys(path, file.attrs.keys(), ATTRIBUTES)
            check_keys(path, file.keys(), MEMBERS, "/")
            conversion = json.loads(file.attrs["conversion"])
            check_keys(path, conversion.keys(), KNOWN_CONVERSION_KEYS, "conversion.")
            names = [name.decode() for name in file["name"][:]]
            return _Header(
                path,
                file.attrs["split"].decode(),
                card_from_json(file.attrs["card"].decode()),
                file.attrs["labels"] == b"yes",
                conversion,
                names,
                file["size"][:],
                file["pixels"][:],
                _extents(file["images"]),
                _extents(file["labels"]),
                file["crc32"][:],
            )
    except NewerCardError as error:
        raise newer_error(path, str(error)) from None
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ShardError(f"{path}: damaged ({error}). {REMAKE}") from None


def _extents(group: Any) -> NDArray[np.int64]:
    """Return the position and length of each item in the file, (n, 2)."""
    offsets = group["offsets"][:]
    base = group["bytes"].id.get_offset() or 0  # None for an empty dataset
    lengths = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(group["bytes"]) or (lengths < 0).any():
        raise ValueError("its offsets do not fit its bytes")
    return np.stack([base + offsets[:-1], lengths], axis=1).astype(np.int64)

"""HDF5 shards: the only thing that training and evaluation read.

    /images/bytes    uint8 (total,)   the original files, one after the other
    /images/offsets  int64 (n + 1,)   image i is bytes[offsets[i]:offsets[i + 1]]
    /labels/bytes    uint8 (total,)   gray PNGs of class ids, 255 = ignore
    /labels/offsets  int64 (n + 1,)
    /size            int32 (n, 2)     height, width
    /crc32           uint32 (n, 2)    of the image's and the label's bytes
    /name            utf-8 (n,)       unique within a split
    /pixels          int64 (n, classes + 1)   label histogram; the last column is ignore

Root attributes: format, version, card (JSON), split, labels ("yes" or "no"), conversion (JSON),
made_by. Where conversion says "store": "raw", images are uint8 (H, W, 3) RGB and labels uint8
(H, W), row by row. A split without labels has no label bytes and zeros in /pixels. Everything is
stored contiguously: a reader takes the offsets once, then reads the file without HDF5, with no lock
and safely across processes. The same samples give the same bytes. A folder of shards has a
manifest.json, written last.
"""

import contextlib
import copy
import io
import json
import math
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from psp.data.card import Card, card_from_json
from psp.data.manifest import ANEW, FORMAT, MANIFEST, VERSION, ShardError, read_manifest
from psp.data.staging import Staged
from psp.errors import nearest
from psp.files import atomic_write, file_sha256
from psp.images import decode_image, decode_label

ENCODED = {"store": "encoded", "reencode": None, "max_side": None}  # the files as they came


def write_shard(
    path: Path,
    split: str,
    card: Card,
    samples: Sequence[Staged],
    *,
    labeled: bool = True,
    conversion: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write one shard of at least one sample and return its entry in the manifest.

    The samples' spools lie beside it, and stay; memory holds some megabytes of them at a time.
    """
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(atomic_write(path))
        spools = {
            name: stack.enter_context((path.parent / name).open("rb", buffering=0))
            for name in {sample.spool for sample in samples}
        }
        lengths = np.array([sample.lengths for sample in samples], np.int64)  # (n, 3)
        ends = lengths.cumsum(axis=1)
        places = [(spools[sample.spool], sample.start) for sample in samples]

        def fill(dataset: Any, part: int) -> None:
            before = ends[:, part] - lengths[:, part]
            _fill(
                dataset,
                [
                    (file, start + int(skip), int(length))
                    for (file, start), skip, length in zip(
                        places, before, lengths[:, part], strict=True
                    )
                ],
            )

        # A fixed library version and no times: the same samples give the same file.
        with h5py.File(temporary, "w", libver=("v108", "v108")) as file:
            for part, kind in enumerate(("images", "labels")):
                offsets = np.concatenate([[0], lengths[:, part].cumsum()])
                fill(file.create_dataset(f"{kind}/bytes", offsets[-1:], np.uint8), part)
                file[f"{kind}/offsets"] = offsets
            file["size"] = np.array([sample.size for sample in samples], np.int32)
            file["crc32"] = np.array([sample.crc32 for sample in samples], np.uint32)
            shape = (len(samples), len(card.classes) + 1)
            fill(file.create_dataset("pixels", shape, np.int64), 2)
            encoded = [sample.name.encode() for sample in samples]
            text = h5py.string_dtype("utf-8", max(map(len, encoded)))
            file.create_dataset("name", data=np.array(encoded, text), dtype=text)
            header = {
                "format": FORMAT,
                "version": str(VERSION),
                "card": card.to_json(),
                "split": split,
                "labels": "yes" if labeled else "no",
                "conversion": json.dumps(conversion or ENCODED, sort_keys=True),
                "made_by": "psp prepare",
            }
            for key, value in header.items():
                file.attrs[key] = np.bytes_(value.encode())
    return shard_entry(path)


def _fill(dataset: Any, places: Iterable[tuple[io.FileIO, int, int]]) -> None:
    """Fill a dataset of rows with bytes that lie at (file, start, length), one after the other."""
    row = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    block = np.empty(max(1, (1 << 18) // row) * row, np.uint8)  # stays in the cache
    used = done = 0

    def empty() -> None:
        nonlocal used, done
        part = block[:used].view(dataset.dtype).reshape(-1, *dataset.shape[1:])
        dataset[done : done + len(part)] = part
        used, done = 0, done + len(part)

    for file, start, length in places:
        file.seek(start)
        while length:
            got = file.readinto(block[used : used + length].data)
            assert got, "a spool was cut"
            used, length = used + got, length - got
            if used == len(block):
                empty()
    if used:
        empty()


def shard_entry(path: Path) -> dict[str, Any]:
    """Return what the manifest says of a finished shard: file, images, bytes, sha256, pixels."""
    with h5py.File(path, "r") as file:
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


class ShardSplit:
    """The samples of one split of a shard folder, in the order of their names.

    `fingerprint` is the SHA-256 of the manifest, which holds those of all shards: it names the
    data as they were when they were opened.

    Opened files are not carried into other processes; each opens its own when it first reads.
    """

    def __init__(self, folder: Path, split: str, only: str | None = None) -> None:
        """Read the shards' headers. Raises ShardError when the split is missing or damaged.

        `only` is a file name: of the split's shards, that one alone.
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
        self.stored_split = headers[0].split  # what the shard says, where `split` is what was asked
        self.names: list[str] = [name for header in headers for name in header.names]
        self.sizes = _joined([header.sizes for header in headers])  # (n, 2) height, width
        self.pixels = _joined([header.pixels for header in headers])  # (n, classes + 1)
        counts = [len(header.names) for header in headers]
        self._shard = np.repeat(np.arange(len(headers)), counts)
        self._image = _joined([header.images for header in headers])  # (n, 2) start, length
        self._label = _joined([header.labels for header in headers])
        self._crc32 = _joined([header.crc32 for header in headers])
        self._handles: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def first(self, count: int) -> "ShardSplit":
        """Return the first `count` samples as a split of their own."""
        part = copy.copy(self)
        part._handles = {}
        part.names = self.names[:count]
        for name in ("sizes", "pixels", "_shard", "_image", "_label", "_crc32"):
            setattr(part, name, getattr(self, name)[:count])
        return part

    @property
    def raw(self) -> bool:
        """Whether pictures and labels are stored as arrays instead of files."""
        return bool(self.conversion["store"] == "raw")

    def image_bytes(self, index: int) -> bytes:
        """Return what is stored of image `index`. Raises ShardError when it is damaged."""
        return self._read(index, self._image, 0)

    def label_bytes(self, index: int) -> bytes:
        """Return what is stored of label `index`. Raises ShardError when it is damaged."""
        return self._read(index, self._label, 1)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return image `index` as uint8 (H, W, 3) RGB. Raises ShardError when it is damaged."""
        data = self.image_bytes(index)
        if self.raw:
            return self._array(index, data, 3)
        return decode_image(data, self._where(index))

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return label `index` as uint8 (H, W) class ids, 255 = ignore.

        Raises ShardError when it is damaged and when the split has no labels.
        """
        if not self.labeled:
            raise ShardError(f"{self.folder}: split '{self.split}' has no labels.")
        data = self.label_bytes(index)
        if self.raw:
            return self._array(index, data, 1)[..., 0]
        return decode_label(data, self._where(index)).astype(np.uint8, copy=False)

    def _array(self, index: int, data: bytes, channels: int) -> NDArray[np.uint8]:
        height, width = map(int, self.sizes[index])
        if len(data) != height * width * channels:
            raise ShardError(f"{self._where(index)}: its bytes do not fit its size. {ANEW}")
        return np.frombuffer(data, np.uint8).reshape(height, width, channels).copy()

    def _where(self, index: int) -> str:
        return f"{self.paths[self._shard[index]]}: sample '{self.names[index]}'"

    def _read(self, index: int, extent: NDArray[np.int64], column: int) -> bytes:
        start, length = map(int, extent[index])
        data = os.pread(self._handle(int(self._shard[index])), length, start)
        if len(data) != length or zlib.crc32(data) != self._crc32[index, column]:
            kind = ("image", "label")[column]
            raise ShardError(f"{self._where(index)}: the {kind}'s bytes are damaged. {ANEW}")
        return data

    def _handle(self, shard: int) -> int:
        key = (os.getpid(), shard)
        if key not in self._handles:
            handle = os.open(self.paths[shard], os.O_RDONLY)
            if self._handles.setdefault(key, handle) != handle:
                os.close(handle)  # another thread was first
        return self._handles[key]

    def close(self) -> None:
        """Close the files this process opened."""
        for key in [key for key in self._handles if key[0] == os.getpid()]:
            os.close(self._handles.pop(key))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}}


def _joined(tables: list[NDArray[Any]]) -> NDArray[Any]:
    return tables[0] if len(tables) == 1 else np.concatenate(tables)  # without a copy of one


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
        raise ShardError(f"{path}: the shard is missing. {ANEW}")
    if path.stat().st_size != entry["bytes"]:
        raise ShardError(
            f"{path}: {path.stat().st_size} bytes, the manifest says {entry['bytes']}: "
            f"a broken copy? {ANEW}"
        )
    try:
        with h5py.File(path, "r") as file:
            names = [name.decode() for name in file["name"][:]]
            return _Header(
                path,
                file.attrs["split"].decode(),
                card_from_json(file.attrs["card"].decode()),
                file.attrs["labels"] == b"yes",
                json.loads(file.attrs["conversion"]),
                names,
                file["size"][:],
                file["pixels"][:],
                _extents(file["images"]),
                _extents(file["labels"]),
                file["crc32"][:],
            )
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ShardError(f"{path}: damaged shard ({error}). {ANEW}") from None


def _extents(group: Any) -> NDArray[np.int64]:
    """Return where each item lies in the file: (n, 2) of position and length."""
    offsets = group["offsets"][:]
    base = group["bytes"].id.get_offset() or 0  # None for a dataset of no bytes
    lengths = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(group["bytes"]) or (lengths < 0).any():
        raise ValueError("its offsets do not fit its bytes")
    return np.stack([base + offsets[:-1], lengths], axis=1).astype(np.int64)

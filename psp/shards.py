"""HDF5 shards: the only thing that training and evaluation read.

    /images/bytes    uint8 (total,)   the original files, one after the other
    /images/offsets  int64 (n + 1,)   image i is bytes[offsets[i]:offsets[i + 1]]
    /labels/bytes    uint8 (total,)   gray PNGs of class ids, 255 = ignore
    /labels/offsets  int64 (n + 1,)
    /size            int32 (n, 2)     height, width
    /crc32           uint32 (n, 2)    of the image's and the label's bytes
    /name            utf-8 (n,)       unique within a split
    /pixels          int64 (n, classes + 1)   label histogram; the last column is ignore

Root attributes: format, version, card (JSON), split, made_by. Everything is stored contiguously:
a reader takes the offsets once, then reads the file without HDF5, with no lock and safely across
processes. The same samples give the same bytes. A folder of shards has a manifest.json, written
last.
"""

import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from psp.cards import Card, card_from_json
from psp.errors import PspError, nearest
from psp.files import whole_file
from psp.pictures import decode_image, decode_label

FORMAT = "psp-shards"
VERSION = 1
MANIFEST = "manifest.json"
ANEW = "Make the shards anew: psp prepare CARD RAW -o FOLDER --overwrite"


class ShardError(PspError):
    """A shard folder that is missing, foreign or damaged."""


@dataclass(frozen=True)
class Sample:
    """One picture with its label, ready to be stored."""

    name: str
    image: bytes  # the original file
    label: bytes  # a gray PNG of class ids
    size: tuple[int, int]  # height, width
    pixels: NDArray[np.int64]  # (classes + 1,)


def write_shard(
    path: Path, split: str, card: Card, image_bytes: int, samples: Iterator[Sample]
) -> dict[str, Any]:
    """Write one shard, streaming, and return its entry in the manifest.

    `image_bytes` is the sum of the images' sizes, known from the files beforehand; labels are
    spooled, as their size is known only once they are encoded. Memory holds one sample.
    Raises ShardError when the images turn out to have another total size.
    """
    offsets: dict[str, list[int]] = {"images": [0], "labels": [0]}
    names, sizes, checks, pixels = [], [], [], []
    with whole_file(path) as temporary, tempfile.TemporaryFile(dir=path.parent) as spool:
        # A fixed library version and no times: the same samples give the same file.
        with h5py.File(temporary, "w", libver=("v108", "v108")) as file:
            images = file.create_dataset("images/bytes", (image_bytes,), np.uint8)
            for sample in samples:
                start, stop = offsets["images"][-1], offsets["images"][-1] + len(sample.image)
                if stop > image_bytes:
                    raise ShardError(f"{path}: files grew while they were read. Run it again.")
                images[start:stop] = np.frombuffer(sample.image, np.uint8)
                spool.write(sample.label)
                offsets["images"].append(stop)
                offsets["labels"].append(offsets["labels"][-1] + len(sample.label))
                names.append(sample.name)
                sizes.append(sample.size)
                checks.append((zlib.crc32(sample.image), zlib.crc32(sample.label)))
                pixels.append(sample.pixels)
            if offsets["images"][-1] != image_bytes:
                raise ShardError(f"{path}: files shrank while they were read. Run it again.")
            total = offsets["labels"][-1]
            labels = file.create_dataset("labels/bytes", (total,), np.uint8)
            spool.seek(0)
            for start in range(0, total, 1 << 24):
                chunk = spool.read(min(1 << 24, total - start))
                labels[start : start + len(chunk)] = np.frombuffer(chunk, np.uint8)
            for kind, values in offsets.items():
                file[f"{kind}/offsets"] = np.array(values, np.int64)
            file["size"] = np.array(sizes, np.int32).reshape(-1, 2)
            file["crc32"] = np.array(checks, np.uint32).reshape(-1, 2)
            file["pixels"] = np.array(pixels, np.int64)
            encoded = [name.encode() for name in names]
            kind = h5py.string_dtype("utf-8", max(map(len, encoded)))
            file.create_dataset("name", data=np.array(encoded, kind), dtype=kind)
            header = {
                "format": FORMAT,
                "version": str(VERSION),
                "card": card.to_json(),
                "split": split,
                "made_by": "psp prepare",
            }
            for key, text in header.items():
                file.attrs[key] = np.bytes_(text.encode())
    return shard_entry(path)


def shard_entry(path: Path) -> dict[str, Any]:
    """Return what the manifest says of a finished shard: file, images, bytes, sha256, pixels."""
    with h5py.File(path, "r") as file:
        pixels = file["pixels"][:]
    return {
        "file": path.name,
        "images": len(pixels),
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "pixels": pixels.sum(axis=0).tolist(),
    }


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a shard folder's manifest. Raises ShardError with the way out."""
    path = folder / MANIFEST
    if folder.is_file():
        raise ShardError(f"{folder}: a file. Give the folder that psp prepare wrote.")
    if not folder.is_dir():
        raise ShardError(
            f"{folder}: no such folder. Make shards with: psp prepare CARD RAW -o {folder}"
        )
    if not path.exists():
        raise ShardError(
            f"{folder}: not a folder of shards (it has no {MANIFEST}). "
            f"Make shards with: psp prepare CARD RAW -o {folder}"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
            raise ShardError(
                f"{path}: format {manifest['format']} {manifest['version']}, this psp reads "
                f"{FORMAT} {VERSION}. Prepare the data set again."
            )
        whole = all(isinstance(manifest[key], str) for key in ("source", "dataset")) and all(
            {"file", "bytes"} <= entry.keys()
            for split in manifest["splits"].values()
            for entry in split["shards"] or [{}]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole or not manifest["splits"]:
        raise ShardError(f"{path}: damaged. {ANEW}")
    return manifest


class ShardSplit:
    """The samples of one split of a shard folder, in the order of their names.

    `fingerprint` is the SHA-256 of the manifest, which holds those of all shards: it names the
    data as they were when they were opened.

    Opened files are not carried into other processes; each opens its own when it first reads.
    """

    def __init__(self, folder: Path, split: str) -> None:
        """Read the shards' headers. Raises ShardError when the split is missing or damaged."""
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
        ]
        self.paths = [header.path for header in headers]
        self.card = headers[0].card
        self.names: list[str] = [name for header in headers for name in header.names]
        self.sizes = np.concatenate([header.sizes for header in headers])  # (n, 2) height, width
        self.pixels = np.concatenate([header.pixels for header in headers])  # (n, classes + 1)
        counts = [len(header.names) for header in headers]
        self._shard = np.repeat(np.arange(len(headers)), counts)
        self._image = np.concatenate([header.images for header in headers])  # (n, 2) start, length
        self._label = np.concatenate([header.labels for header in headers])
        self._crc32 = np.concatenate([header.crc32 for header in headers])
        self._handles: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def image_bytes(self, index: int) -> bytes:
        """Return the original file of image `index`. Raises ShardError when it is damaged."""
        return self._read(index, self._image, 0)

    def label_bytes(self, index: int) -> bytes:
        """Return the PNG of label `index`. Raises ShardError when it is damaged."""
        return self._read(index, self._label, 1)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return image `index` as uint8 (H, W, 3) RGB."""
        return decode_image(self.image_bytes(index), self._where(index))

    def label(self, index: int) -> NDArray[np.uint8]:
        """Return label `index` as uint8 (H, W) class ids, 255 = ignore."""
        return decode_label(self.label_bytes(index), self._where(index)).astype(
            np.uint8, copy=False
        )

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
            self._handles[key] = os.open(self.paths[shard], os.O_RDONLY)
        return self._handles[key]

    def close(self) -> None:
        """Close the files this process opened."""
        for key in [key for key in self._handles if key[0] == os.getpid()]:
            os.close(self._handles.pop(key))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}}


@dataclass(frozen=True)
class _Header:
    path: Path
    card: Card
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
                path, card_from_json(file.attrs["card"].decode()), names,
                file["size"][:], file["pixels"][:],
                _extents(file["images"]), _extents(file["labels"]), file["crc32"][:],
            )  # fmt: skip
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

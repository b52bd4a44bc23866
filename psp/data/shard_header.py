"""The header of a shard: bounded by the file's size, and only what is in the file itself.

HDF5 can do much that no shard needs and that a stranger's file could use: data in other files,
links to them, virtual and compressed data, filters of plugins. All of it is refused before a value
is read. What remains are arrays at known places of the file, which are read without HDF5.
"""

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from psp.data.card import Card
from psp.data.manifest import (
    REMAKE,
    ShardError,
    check_conversion,
    check_version,
    newer_error,
    shard_errors,
)
from psp.data.stored_card import card_from_json
from psp.files import open_regular
from psp.headers import DamagedError, Fields, parse
from psp.name_rules import is_below, is_split

ATTRIBUTES = ("format", "version", "card", "split", "labels", "conversion", "made_by")
CHECKSUMS = "checksums"  # an attribute that shards have since 0.2.0
SUMMED = ("card", "split", "labels", "conversion")  # attributes with a checksum, as one text
MEMBERS = ("images", "labels", "size", "crc32", "name", "pixels")
LONGEST = 1 << 20  # bytes of an attribute; the card of 255 classes has 50,000


@dataclass(frozen=True)
class Table:
    """Where an array is in a shard, and its CRC-32; None in shards of psp 0.1.0."""

    path: Path
    name: str
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    crc32: int | None

    def read(self, checked: bool = True) -> NDArray[Any]:
        """Return the array. Raises ShardError if it is not the one that was written."""
        count = math.prod(self.shape)
        with open_regular(self.path) as file:
            file.seek(self.start)
            data = file.read(count * self.dtype.itemsize)
        if len(data) < count * self.dtype.itemsize:
            raise ShardError(f"{self.path}: damaged: '/{self.name}' is cut off. {REMAKE}")
        if checked and self.crc32 is not None and zlib.crc32(data) != self.crc32:
            raise ShardError(
                f"{self.path}: damaged: '/{self.name}' is not what was written (its checksum). "
                f"{REMAKE}"
            )
        return np.frombuffer(data, self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class ShardHeader:
    """What a shard says of itself. Names and the label histogram are read when they are needed."""

    path: Path
    split: str
    card: Card
    labeled: bool
    conversion: dict[str, Any]
    sizes: NDArray[np.int32]  # (n, 2) height, width
    images: NDArray[np.int64]  # (n, 2): position in the file, length
    labels: NDArray[np.int64]
    crc32: NDArray[np.uint32]  # (n, 2) of image and label
    tables: dict[str, Table]
    checked: bool = True  # whether the checksums of tables must be right

    def names(self) -> list[str]:
        """Return the names of the samples. Raises ShardError for what is not a path below."""
        raw = self.tables["name"].read(self.checked)
        try:
            names = [name.decode() for name in raw.tolist()]
        except UnicodeDecodeError:
            raise ShardError(f"{self.path}: damaged: '/name' is not UTF-8. {REMAKE}") from None
        joined = "/" + "/\n/".join(names) + "/"
        if any(sign in joined for sign in ("//", "/./", "/../", "\0")):  # seldom: then one by one
            for name in names:
                if not is_below(name):
                    raise ShardError(
                        f"{self.path}: the name '{name[:100]}' of a sample is not a path below a "
                        f"folder. {REMAKE}"
                    )
        return names

    def pixels(self) -> NDArray[np.int64]:
        """Return the label histogram of each sample, (n, classes + 1)."""
        table = self.tables["pixels"].read(self.checked)
        if (table < 0).any():
            raise ShardError(f"{self.path}: damaged: '/pixels' has negative counts. {REMAKE}")
        return table

    def faults(self) -> list[str]:
        """Return a line for each table whose checksum is wrong."""
        found = []
        for table in self.tables.values():
            try:
                table.read()
            except ShardError as error:
                found.append(str(error))
        return found


def read_shard_header(path: Path, entry: dict[str, Any], checked: bool = True) -> ShardHeader:
    """Return the header of the shard with that entry in the manifest.

    Raises ShardError if it is missing, damaged, or has data that are not in the file itself.
    """
    if not path.exists():
        raise ShardError(f"{path}: the shard is missing. {REMAKE}")
    if not path.is_file():
        raise ShardError(f"{path}: not a regular file. {REMAKE}")
    if path.stat().st_size != entry["bytes"]:
        raise ShardError(
            f"{path}: {path.stat().st_size} bytes, the manifest says {entry['bytes']}: "
            f"an incomplete copy? {REMAKE}"
        )
    try:
        with shard_errors(), h5py.File(path, "r", locking=False) as file:
            return _read(path, file, entry, checked)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise ShardError(f"{path}: damaged ({_one_line(error)}). {REMAKE}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _read(path: Path, file: Any, entry: dict[str, Any], checked: bool) -> ShardHeader:
    attributes = file.attrs
    texts = {key: _attribute(path, attributes, key) for key in attributes}
    where = str(path)
    for key in ATTRIBUTES[:-1]:
        if key not in texts:
            raise DamagedError(f"{where}: damaged: the attribute '{key}' is missing.")
    version = texts["version"].decode(errors="replace")
    if not version.isdecimal() or len(version) > 9:
        raise DamagedError(f"{where}: damaged: the attribute 'version' is no number.")
    check_version(path, texts["format"].decode(errors="replace"), int(version))
    _check_members(path, texts, (*ATTRIBUTES, CHECKSUMS), "")
    _check_members(path, file, MEMBERS, "/")
    sums = Fields(parse(texts.get(CHECKSUMS, b"{}"), where), where, "checksums.")
    card = card_from_json(texts["card"], where)
    conversion = Fields(parse(texts["conversion"], where), where, "conversion.")
    check_conversion(conversion)
    split = texts["split"].decode(errors="replace")
    if not is_split(split) or texts["labels"] not in (b"yes", b"no"):
        raise DamagedError(f"{where}: damaged: the attributes 'split' and 'labels'.")
    # After their keys, as an unknown one says that a newer psp wrote the shard.
    header_sum = sums.whole("header", default=None)
    if checked and header_sum is not None and header_sum != header_checksum(texts):
        raise DamagedError(f"{where}: damaged: its attributes are not what was written.")
    count = entry["images"]
    kinds = {
        "size": ((count, 2), "<i4"),
        "crc32": ((count, 2), "<u4"),
        "pixels": ((count, len(card.classes) + 1), "<i8"),
        "name": ((count,), "S"),
        "images/offsets": ((count + 1,), "<i8"),
        "labels/offsets": ((count + 1,), "<i8"),
    }
    tables = {
        name: _table(path, file, name, shape, kind, sums) for name, (shape, kind) in kinds.items()
    }
    sizes = tables["size"].read(checked)
    if (sizes < 1).any():
        raise DamagedError(f"{where}: damaged: '/size' has sides below 1.")
    return ShardHeader(
        path,
        split,
        card,
        texts["labels"] == b"yes",
        conversion.value,
        sizes,
        _extents(path, file, tables["images/offsets"], "images/bytes", checked),
        _extents(path, file, tables["labels/offsets"], "labels/bytes", checked),
        tables["crc32"].read(checked),
        tables,
        checked,
    )


def header_checksum(texts: dict[str, bytes]) -> int:
    """Return the CRC-32 of the attributes that describe a shard's samples."""
    return zlib.crc32(b"\0".join(texts[key] for key in SUMMED))


def _check_members(path: Path, keys: Any, known: tuple[str, ...], inside: str) -> None:
    unknown = sorted(set(keys).difference(known))
    if unknown:
        raise newer_error(path, f"unknown key '{inside}{unknown[0][:100]}'")


def _attribute(path: Path, attributes: Any, key: str) -> bytes:
    """Return a text among the attributes; its size is known before it is read."""
    attribute = attributes.get_id(key)
    if attribute.dtype.kind != "S" or attribute.shape != () or attribute.dtype.itemsize > LONGEST:
        raise DamagedError(f"{path}: damaged: the attribute '{key[:100]}' is not a short text.")
    value = np.zeros((), attribute.dtype)
    attribute.read(value)
    return bytes(value[()])


def own_dataset(file: Any, name: str) -> Any:
    """Return a dataset that is in the file itself, reached by no link that leads elsewhere.

    Raises DamagedError, without a path, for one whose values are in other files, and KeyError if
    there is none.
    """
    item = file
    for part in name.split("/"):
        link = item.get(part, getlink=True)
        if link is None:
            raise KeyError(f"'/{name}' is missing")
        if not isinstance(link, h5py.HardLink):
            raise DamagedError(f"'/{name}' is a link, perhaps to another file")
        item = item[part]
    if not isinstance(item, h5py.Dataset):
        raise KeyError(f"'/{name}' is no dataset")
    check_own(item)
    return item


def check_own(data: Any) -> None:
    """Raise DamagedError, without a path, if a dataset's values are in other files."""
    plan = data.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise DamagedError(f"the values of '{data.name}' are in other files")


def _contiguous(path: Path, file: Any, name: str) -> tuple[Any, int]:
    """Return a dataset and its position, if its values are one block of this file."""
    try:
        data = own_dataset(file, name)
    except (DamagedError, KeyError) as error:
        raise DamagedError(f"{path}: damaged: {_one_line(error)}.") from None
    plan = data.id.get_create_plist()
    if (
        plan.get_layout() != h5py.h5d.CONTIGUOUS
        or plan.get_nfilters()
        or data.id.get_type().committed()
    ):
        raise DamagedError(f"{path}: damaged: '/{name}' is not stored as psp stores it.")
    start = data.id.get_offset()
    size = math.prod(data.shape) * data.dtype.itemsize
    if size and (start is None or start + size > path.stat().st_size):
        raise DamagedError(f"{path}: damaged: '/{name}' is larger than the file.")
    return data, start or 0


def _table(
    path: Path, file: Any, name: str, shape: tuple[int, ...], kind: str, sums: Fields
) -> Table:
    data, start = _contiguous(path, file, name)
    fits = data.dtype.kind == "S" if kind == "S" else data.dtype == np.dtype(kind)
    if data.shape != shape or not fits:
        raise DamagedError(
            f"{path}: damaged: '/{name}' is {'x'.join(map(str, data.shape))} of {data.dtype}, not "
            f"{'x'.join(map(str, shape))} of {'text' if kind == 'S' else np.dtype(kind)}."
        )
    crc32 = sums.whole(name, high=0xFFFFFFFF, default=None)
    return Table(
        path,
        name,
        start,
        shape,
        np.dtype(f"S{data.dtype.itemsize}" if kind == "S" else kind),
        crc32,
    )


def _extents(path: Path, file: Any, table: Table, name: str, checked: bool) -> NDArray[np.int64]:
    """Return the position and length of each item in the file, (n, 2)."""
    offsets = table.read(checked)
    data, base = _contiguous(path, file, name)
    if data.dtype != np.uint8 or data.ndim != 1:
        raise DamagedError(f"{path}: damaged: '/{name}' is not a row of bytes.")
    lengths = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(data) or (lengths < 0).any():
        raise DamagedError(f"{path}: damaged: '/{table.name}' does not fit its bytes (offsets).")
    return np.stack([base + offsets[:-1], lengths], axis=1)

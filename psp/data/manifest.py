"""The manifest of a folder of shards: its contents, with the SHA-256 of each file.

    format, version     FORMAT and VERSION
    dataset, card       the card's name, and the whole card
    source              a digest of the card, the conversion, and the raw files' names and sizes
    conversion          how pictures are stored: {"store", "reencode", "max_side"}, and
                        {"upright": true} where photos are upright by their EXIF orientation;
                        "heif" is what HEIC and AVIF were decoded into; "labels" is how labels are
                        encoded (label_codec.py), since version 3; without it they are PNGs
    splits              for each: images, labels (whether it has them), skipped (names of pictures
                        left out), shards (file, images, bytes, sha256, pixels)

It is written last, so a folder with a manifest is complete. A higher version, or a key that is not
listed here, means that a newer psp wrote it.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psp.data.label_codec import check_label_codec
from psp.data.stored_card import card_from_dict
from psp.errors import PspError
from psp.headers import DamagedError, Fields, NewerError, read_header, shown
from psp.name_rules import SPLIT_RULE, is_file_name, is_split

FORMAT = "psp-shards"
VERSION = 3
OLDEST = 2  # which has labels as PNG, and is read as ever
MANIFEST = "manifest.json"
REMAKE = "Make the shards again: psp prepare CARD RAW -o FOLDER --overwrite"

KEYS = ("format", "version", "dataset", "card", "source", "conversion", "splits")
CONVERSION_KEYS = ("store", "reencode", "max_side")
KNOWN_CONVERSION_KEYS = (*CONVERSION_KEYS, "upright", "heif", "labels")  # since 0.2.0
SPLIT_KEYS = ("images", "labels", "skipped", "shards")
SHARD_KEYS = ("file", "images", "bytes", "sha256", "pixels")


class ShardError(PspError):
    """A folder of shards, or a shard, that is missing, damaged, or not of a format psp reads."""


def newer_error(path: Path, what: str) -> ShardError:
    """Return the error for a file of a newer psp; `what` names the unknown version or key."""
    return ShardError(f"{path}: written by a newer psp ({what}). Upgrade psp to read it.")


@contextlib.contextmanager
def shard_errors() -> Iterator[None]:
    """Turn errors of headers into ShardErrors; one of a damaged header says what to do."""
    try:
        yield
    except DamagedError as error:
        raise ShardError(f"{error} {REMAKE}") from None
    except NewerError as error:
        raise ShardError(str(error)) from None


def check_version(path: Path, file_format: str, version: int) -> None:
    """Raise ShardError if a file is of another format, or of another version than psp reads."""
    if file_format == FORMAT and version > VERSION:
        raise newer_error(path, f"version {version}, this one reads {VERSION}")
    if file_format != FORMAT or version < OLDEST:
        raise ShardError(
            f"{path}: format {shown(file_format)} {version}, this psp reads {FORMAT} {OLDEST} to "
            f"{VERSION}. {REMAKE}"
        )


def check_conversion(value: Fields) -> None:
    """Check how pictures are stored. Raises DamagedError or NewerError."""
    value.only(KNOWN_CONVERSION_KEYS).choice("store", ("encoded", "raw"))
    value.whole("reencode", 1, 100, default=None)
    value.whole("max_side", 1, default=None)
    value.flag("upright", False)
    if "labels" in value:
        check_label_codec(value.object("labels"))
    for key in CONVERSION_KEYS:
        value.get(key)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder of shards. Raises ShardError that says what to do."""
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
    with shard_errors():
        manifest = read_header(path)
        check_version(path, manifest.text("format"), manifest.whole("version"))
        _check(manifest)
    return manifest.value


def _check(manifest: Fields) -> None:
    """Check that everything is there and fits together. Raises DamagedError or NewerError."""
    manifest.only(KEYS).text("source")
    card = card_from_dict(manifest.object("card").value, manifest.where)
    if manifest.text("dataset") != card.name:
        raise manifest.error("dataset", "must be the name of its card")
    check_conversion(manifest.object("conversion"))
    splits = manifest.object("splits")
    if not splits.value:
        raise manifest.error("splits", "must have a split")
    files: set[str] = set()
    for name in splits.value:
        if not is_split(name):
            raise DamagedError(f"{manifest.where}: damaged: split {shown(name)}: {SPLIT_RULE}.")
        split = splits.object(name).only(SPLIT_KEYS)
        split.flag("labels")
        split.texts("skipped")
        split.items("shards", least=1)
        images = sum(_images(entry, len(card.classes)) for entry in split.objects("shards"))
        if split.whole("images", 1) != images:
            raise split.error("images", f"must be the sum of its shards, {images}")
        for entry in split.objects("shards"):
            if entry.text("file") in files:
                raise entry.error("file", "must be another file for each shard")
            files.add(entry.text("file"))


def _images(entry: Fields, classes: int) -> int:
    """Return the number of a shard's pictures, with all of the shard's entry checked."""
    entry.only(SHARD_KEYS).text("sha256")
    if not is_file_name(entry.text("file")):
        raise entry.error("file", "must be the name of a file in this folder")
    images: int = entry.whole("images", 1)
    if entry.whole("bytes", 1) < images:
        raise entry.error("images", "must be fewer than its bytes")
    if len(entry.wholes("pixels")) != classes + 1:
        raise entry.error("pixels", f"must be {classes + 1} numbers: its classes, and ignore")
    return images

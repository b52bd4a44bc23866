"""The manifest of a folder of shards: its contents, with the SHA-256 of each file.

    format, version     FORMAT and VERSION
    dataset, card       the card's name, and the whole card
    source              a digest of the card, the conversion, and the raw files' names and sizes
    conversion          how pictures are stored: {"store", "reencode", "max_side"}, and
                        {"upright": true} where photos are upright by their EXIF orientation;
                        "heif" is what HEIC and AVIF were decoded into
    splits              for each: images, labels (whether it has them), skipped (names of pictures
                        left out), shards (file, images, bytes, sha256, pixels)

It is written last, so a folder with a manifest is complete. A higher version, or a key that is not
listed here, means that a newer psp wrote it.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from psp.data.card import NewerCardError, card_from_dict
from psp.errors import PspError

FORMAT = "psp-shards"
VERSION = 2
MANIFEST = "manifest.json"
REMAKE = "Make the shards again: psp prepare CARD RAW -o FOLDER --overwrite"

KEYS = ("format", "version", "dataset", "card", "source", "conversion", "splits")
CONVERSION_KEYS = ("store", "reencode", "max_side")
KNOWN_CONVERSION_KEYS = (*CONVERSION_KEYS, "upright", "heif")  # since 0.2.0, for own photos
SPLIT_KEYS = ("images", "labels", "skipped", "shards")
SHARD_KEYS = ("file", "images", "bytes", "sha256", "pixels")


class ShardError(PspError):
    """A folder of shards, or a shard, that is missing, damaged, or not of a format psp reads."""


def newer_error(path: Path, what: str) -> ShardError:
    """Return the error for a file of a newer psp; `what` names the unknown version or key."""
    return ShardError(f"{path}: written by a newer psp ({what}). Upgrade psp to read it.")


def check_keys(path: Path, keys: Iterable[str], known: Iterable[str], where: str = "") -> None:
    """Raise the error for a newer file if one of its keys is not known."""
    unknown = sorted(set(keys).difference(known))
    if unknown:
        raise newer_error(path, f"unknown key '{where}{unknown[0]}'")


def check_version(path: Path, file_format: str, version: int) -> None:
    """Raise ShardError if a file is of another format, or of another version than this psp reads.

    Raises TypeError if the version is not an integer.
    """
    if file_format == FORMAT and version > VERSION:
        raise newer_error(path, f"version {version}, this one reads {VERSION}")
    if (file_format, version) != (FORMAT, VERSION):
        raise ShardError(
            f"{path}: format {file_format} {version}, this psp reads {FORMAT} {VERSION}. {REMAKE}"
        )


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
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        check_version(path, manifest["format"], manifest["version"])
        _check_all_keys(path, manifest)
        card_from_dict(manifest["card"])  # raises if it is not a card
        valid = _is_consistent(manifest)
    except NewerCardError as error:
        raise newer_error(path, str(error)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise ShardError(f"{path}: damaged. {REMAKE}")
    return manifest


def _check_all_keys(path: Path, manifest: Mapping[str, Any]) -> None:
    check_keys(path, manifest.keys(), KEYS)
    check_keys(path, manifest["conversion"].keys(), KNOWN_CONVERSION_KEYS, "conversion.")
    for name, split in manifest["splits"].items():
        check_keys(path, split.keys(), SPLIT_KEYS, f"splits.{name}.")
        for entry in split["shards"]:
            check_keys(path, entry.keys(), SHARD_KEYS, f"splits.{name}.shards.")


def _is_consistent(manifest: Mapping[str, Any]) -> bool:
    """Whether everything is there and fits together; may raise KeyError or TypeError instead."""
    kinds = {"source": str, "dataset": str, "card": dict, "conversion": dict}
    if not all(isinstance(manifest[key], kind) for key, kind in kinds.items()):
        return False
    if not manifest["conversion"].keys() >= set(CONVERSION_KEYS):
        return False
    for split in manifest["splits"].values():
        if not (isinstance(split["labels"], bool) and isinstance(split["skipped"], list)):
            return False
        if split["images"] != sum(entry["images"] for entry in split["shards"]):
            return False
        if not split["shards"] or not all(map(_is_consistent_entry, split["shards"])):
            return False
    return bool(manifest["splits"])


def _is_consistent_entry(entry: Mapping[str, Any]) -> bool:
    return (
        entry.keys() >= set(SHARD_KEYS)
        and type(entry["images"]) is type(entry["bytes"]) is int
        and 0 < entry["images"] <= entry["bytes"]
        and Path(entry["file"]).name == entry["file"]
    )

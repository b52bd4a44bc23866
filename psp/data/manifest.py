"""The manifest of a folder of shards: what is in it, with the SHA-256 of each file.

    format, version     FORMAT and VERSION
    dataset, card       the card's name, and all of it
    source              a digest of the card, the conversion, and names and sizes of the raw files
    conversion          how pictures are stored: {"store", "reencode", "max_side"}
    splits              for each: images, labels (whether it has them), skipped (names of pictures
                        left out), shards (file, images, bytes, sha256, pixels)

It is written last: a folder that has one is complete.
"""

import json
from pathlib import Path
from typing import Any

from psp.data.card import card_from_dict
from psp.errors import PspError

FORMAT = "psp-shards"
VERSION = 2
MANIFEST = "manifest.json"
ANEW = "Make the shards anew: psp prepare CARD RAW -o FOLDER --overwrite"


class ShardError(PspError):
    """A shard folder that is missing, foreign or damaged."""


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
        whole = _is_whole(manifest)
        card_from_dict(manifest["card"])  # raises where it is none
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole or not manifest["splits"]:
        raise ShardError(f"{path}: damaged. {ANEW}")
    return manifest


def _is_whole(manifest: dict[str, Any]) -> bool:
    """Whether everything is there and fits together; a KeyError or TypeError says no as well."""
    kinds = {"source": str, "dataset": str, "card": dict, "conversion": dict}
    if not all(isinstance(manifest[key], kind) for key, kind in kinds.items()):
        return False
    if not {"store", "reencode", "max_side"} <= manifest["conversion"].keys():
        return False
    for split in manifest["splits"].values():
        if not (isinstance(split["labels"], bool) and isinstance(split["skipped"], list)):
            return False
        if split["images"] != sum(entry["images"] for entry in split["shards"]):
            return False
        if not split["shards"] or not all(map(_is_whole_entry, split["shards"])):
            return False
    return True


def _is_whole_entry(entry: dict[str, Any]) -> bool:
    return (
        {"file", "images", "bytes", "sha256", "pixels"} <= entry.keys()
        and type(entry["images"]) is type(entry["bytes"]) is int
        and 0 < entry["images"] <= entry["bytes"]
        and Path(entry["file"]).name == entry["file"]
    )

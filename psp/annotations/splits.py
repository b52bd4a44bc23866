"""Which split a file belongs to, by the words in its name and the names of its folders."""

import re
from pathlib import PurePosixPath

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_of(name: str) -> str:
    """Return "train", "val" or "test" for `annotations/instances_val2017.json`, "" for others.

    A word in the file's name counts before its folders; a folder must be the word alone.
    """
    path = PurePosixPath(name.lower())
    words = re.findall("[a-z]+", path.stem)
    found = next((_SPLITS[word] for word in words if word in _SPLITS), "")
    return found or next(filter(None, map(folder_split, reversed(path.parent.parts))), "")


def folder_split(folder: str) -> str:
    """Return the split that a folder like `valid` or `train2017` is, or ""."""
    return _SPLITS.get(re.sub(r"[\d_-]+$", "", folder.lower()), "")

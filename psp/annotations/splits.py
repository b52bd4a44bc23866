"""Which split a file belongs to, by the words in its name and the names of its folders."""

import re
from pathlib import PurePosixPath

SPLITS = {
    **dict.fromkeys(("train", "training", "trainset", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "eval", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "tests"), "test"),
}


def split_of(name: str) -> str:
    """Return "train", "val" or "test" for `annotations/instances_val2017.json`, "" for others.

    A word in the file's name counts before its folders; a folder must be the word alone.
    """
    path = PurePosixPath(name.lower())
    words = re.findall("[a-z]+", path.stem)
    found = next((SPLITS[word] for word in words if word in SPLITS), "")
    return found or folders_split(name)


def folders_split(name: str) -> str:
    """Return the split that the nearest folder of a file's path is, or ""."""
    folders = reversed(PurePosixPath(name).parent.parts)
    return next(filter(None, map(folder_split, folders)), "")


def folder_split(folder: str) -> str:
    """Return the split that a folder like `valid` or `train2017` is, or ""."""
    return SPLITS.get(re.sub(r"[\d_-]+$", "", folder.lower()), "")

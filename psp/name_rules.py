"""Names that come from files of others: none of them may steer where psp reads or writes.

A data set's name becomes the name of a run's folder, a picture's name that of a label file, a
shard's that of a file to open. What is checked here stays a name, or a path below a folder.
"""

import re

LONGEST_NAME = 255  # bytes of a file's name, on nearly every file system
LONGEST_PATH = 4096
# Windows keeps these for devices, whatever comes behind a dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_DATA_SET = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SPLIT = re.compile(r"[A-Za-z0-9_]+")

DATA_SET_RULE = "must be lower-case letters, digits, - and _"
SPLIT_RULE = "must be letters, digits and _"


def is_data_set(name: str) -> bool:
    """Whether a data set may be called so: DATA_SET_RULE, and short enough for a folder's name."""
    return len(name) <= 100 and bool(_DATA_SET.fullmatch(name)) and not _DEVICES.fullmatch(name)


def is_split(name: str) -> bool:
    """Whether a split may be called so: SPLIT_RULE, and short enough for a file's name."""
    return len(name) <= 100 and bool(_SPLIT.fullmatch(name))


def is_file_name(name: str) -> bool:
    """Whether a text is the name of a file in a folder: no path, no other folder, no zero byte."""
    return (
        name not in ("", ".", "..")
        and not set(name) & {"/", "\\", "\0", "\n"}
        and len(name.encode(errors="surrogatepass")) <= LONGEST_NAME
    )


def is_below(name: str) -> bool:
    """Whether a text is a path of a file below a folder, as the names of pictures are."""
    if not name or "\0" in name or len(name) > LONGEST_PATH:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))

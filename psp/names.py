"""Names instead of paths: `town` for data/town, `town-resnet18` for runs/town-resnet18.

What exists as a path is always meant. Else a name without a folder is looked up in the one folder
where psp puts such things by itself.
"""

import os
from collections.abc import Iterable
from pathlib import Path

CONFIG_SUFFIXES = (".py", ".yaml", ".yml")  # of mmsegmentation's and semseg's configurations


def named(name: str | Path, folder: Path, holds: str) -> Path:
    """Return the path that `name` means: itself, or folder/name if there is a file `holds` in it.

    If neither is there, the name itself is returned as a path, which does not exist.
    """
    path = Path(name)
    if not os.path.lexists(path) and len(path.parts) == 1 and not path.is_absolute():
        inside = folder / path
        if os.path.lexists(inside / holds):
            return inside
    return path


def inside(folder: Path, holds: str) -> list[str]:
    """Return the names of the folders in `folder` that hold a file `holds`, sorted."""
    try:
        return sorted(path.parent.name for path in folder.glob(f"*/{holds}"))
    except OSError:  # a folder that must not be read offers no names
        return []


def listed(names: Iterable[str], most: int = 6) -> str:
    """Return the first names as a text: "a, b, c and 4 more"."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more

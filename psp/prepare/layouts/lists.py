"""Lists of ids, as VOC and others have them: one name for a picture and its label."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from psp.errors import PspError
from psp.lists.read import nothing_known, read_list


def read_ids(path: Path, exists: Callable[[str], bool] = nothing_known) -> list[str]:
    """Return the ids of a list: the last component of each line's path, without file type.

    Where a longer part of a path `exists`, that is the id: pictures in folders of their own.
    Raises PspError as `read_list` does, and for an id with spaces or a leading dot, one that is
    listed twice, and a mask of another id.
    """
    ids: dict[str, int] = {}
    for entry in read_list(path):
        parts = PurePosixPath(entry.name).parts
        tails = ["/".join(parts[start:]) for start in range(len(parts))]
        name = next((tail for tail in tails if exists(tail)), parts[-1] if parts else "")
        known = exists(name)
        if not known and (name.startswith(".") or len(name.split()) != 1):
            raise PspError(
                f"{path}: line {entry.line}, '{name}', is not an id such as 2007_000032: in this "
                "layout ids have no spaces. For other names, use a card with layout = 'folders'"
            )
        if entry.mask is not None and PurePosixPath(entry.mask).name != PurePosixPath(name).name:
            raise PspError(
                f"{path}: line {entry.line} names the mask '{entry.mask}' for '{name}', but in "
                "this layout both have one name. Use a card with layout = 'folders'"
            )
        if name in ids:
            raise PspError(f"{path}: '{name}' is listed twice. Remove one.")
        ids[name] = entry.line
    return list(ids)

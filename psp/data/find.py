"""From the name of a data set to its folder of shards, for all commands."""

from pathlib import Path

from psp.data.cardfile import shipped
from psp.data.manifest import MANIFEST, ShardError, read_manifest
from psp.errors import nearest
from psp.names import CONFIG_SUFFIXES, inside, named

DATA = Path("data")  # where psp prepare puts shards by itself


def shards_folder(name: str | Path) -> Path:
    """Return the path that the name of shards means: what is there, else data/NAME."""
    return named(name, DATA, MANIFEST)


def known_shards() -> list[str]:
    """Return the names of the data sets under data/."""
    return inside(DATA, MANIFEST)


def find_shards(name: str | Path) -> Path:
    """Return the folder of the shards of that name: what exists as a path, else data/NAME.

    Raises ShardError if that is no folder of shards, naming what is near.
    """
    folder = shards_folder(name)
    if folder.suffix.lower() in CONFIG_SUFFIXES and folder.is_file():
        raise ShardError(
            f"{name}: a file, not a folder of shards. To see the recipe in a configuration of "
            f"mmsegmentation or semseg: psp import {name}"
        )
    if folder.exists():
        try:
            read_manifest(folder)
        except ShardError as error:
            also = DATA / folder
            if (folder / MANIFEST).exists() or not (also / MANIFEST).exists():
                raise
            raise ShardError(f"{error} Or is {also} meant, which holds shards?") from None
        return folder
    near = nearest(folder.name, known_shards())
    if near:
        raise ShardError(
            f"{name}: no such folder, and no shards of this name under {DATA}/.{near} "
            f"Or make them: psp prepare CARD RAW -o {name}"
        )
    if str(name) in shipped():
        raise ShardError(
            f"{name}: no shards of this name under {DATA}/; it is the name of a card. Make its "
            f"shards with: psp prepare {name} RAW"
        )
    read_manifest(folder)  # raises: it says that there is no such folder
    return folder

"""A picture and its label in a raw data set, and how files are matched."""

from dataclasses import dataclass
from pathlib import Path

from psp.errors import PspError
from psp.pictures import SUFFIXES


@dataclass(frozen=True)
class Pair:
    """A picture file and its label file; `name` is unique within a split."""

    name: str
    image: Path
    label: Path


def find_root(raw: Path, tried: tuple[str, ...], landmark: str, what: str) -> Path:
    """Return the folder among raw/tried[0], raw/tried[1], … that holds `landmark`.

    People point at the unpacked archive, at the folder in it, or at the one above. Raises PspError.
    """
    if not raw.is_dir():
        raise PspError(f"{raw}: no such folder. Give the unpacked download of {what}.")
    for part in tried:
        if (raw / part / landmark).exists():
            return raw / part
    raise PspError(
        f"{raw}: this is not {what}: there is no '{landmark}' in it. "
        "Give the folder that the official archive unpacks to."
    )


def match_stems(images: Path, labels: Path) -> list[Pair]:
    """Pair the pictures of two folders by the names before their last dot, sorted by name.

    A file without a partner gets one that does not exist, so that the walk can say what is missing.
    Raises PspError when a name stands twice in a folder.
    """
    pictures, masks = _stems(images), _stems(labels)
    return [
        Pair(
            stem,
            pictures.get(stem, images / f"{stem}.png"),
            masks.get(stem, labels / f"{stem}.png"),
        )
        for stem in sorted({*pictures, *masks})
    ]


def _stems(folder: Path) -> dict[str, Path]:
    stems: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        try:
            path.stem.encode()
        except UnicodeEncodeError:
            raise PspError(f"{folder}: the name {path.name!a} is not UTF-8. Rename it.") from None
        if path.stem in stems:
            raise PspError(f"{path}: {stems[path.stem].name} in the same folder has the same name.")
        stems[path.stem] = path
    return stems

"""A picture and its label in a raw data set, and how files are matched."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from psp.data.card import Card, SplitEntry
from psp.errors import PspError
from psp.images import SUFFIXES


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture file and its label file (None: it has none); `name` is unique within a split.

    `variable` is where a MATLAB file holds the label, such as "GTcls.Segmentation".
    """

    name: str
    image: Path
    label: Path | None
    variable: str = ""


@dataclass(frozen=True)
class Source:
    """The raw files of a data set: the folder the user gave, its card, and SBD's folder for VOC."""

    raw: Path
    card: Card
    sbd: Path | None = None


@dataclass(frozen=True)
class Found:
    """The pairs of a split, sorted by name, and what a user should know of how they were found.

    `pairs` is None when the download has nothing of this split.
    """

    pairs: list[Pair] | None
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """How the raw files of a data set lie: one reader.

    `what` names the official download; `root` returns the folder that holds it, given what the
    user pointed at, or None; `pairs` finds a split below that folder and raises PspError for what
    is wrong with a list or a name. It may name files that do not exist: the plan checks that.
    """

    what: str
    root: Callable[[Path], Path | None]
    pairs: Callable[[Source, Path, SplitEntry], Found]


def find_root(raw: Path, tried: tuple[str, ...], landmarks: tuple[str, ...]) -> Path | None:
    """Return the first of raw/tried[0], raw/tried[1], … that holds all landmarks, or None.

    People point at the unpacked archive, at the folder in it, or at the one above.
    """
    for part in tried:
        if all((raw / part / landmark).exists() for landmark in landmarks):
            return raw / part
    return None


def match_stems(
    images: Path, labels: Path | None, image_suffix: str = "", label_suffix: str = ""
) -> list[Pair]:
    """Pair the pictures below two folders by path and name without file type, sorted by name.

    The suffixes are taken off the names first; files without them are no part of the set. A file
    without a partner gets one that does not exist, so that it can be said what is missing.
    Raises PspError when a name stands twice in a folder.
    """
    pictures = picture_stems(images, image_suffix)
    if labels is None:
        return [Pair(name, pictures[name], None) for name in sorted(pictures)]
    masks = picture_stems(labels, label_suffix)
    return [
        Pair(
            name,
            pictures.get(name, images / f"{name}{image_suffix}.png"),
            masks.get(name, labels / f"{name}{label_suffix}.png"),
        )
        for name in sorted({*pictures, *masks})
    ]


def picture_stems(folder: Path, suffix: str = "") -> dict[str, Path]:
    """Return the pictures below a folder by their path without suffix and file type."""
    stems: dict[str, Path] = {}
    for below, path in _walk(folder):
        if path.suffix.lower() not in SUFFIXES or not path.stem.endswith(suffix):
            continue
        if len(path.stem) == len(suffix):
            raise PspError(f"{path}: a name of nothing but the suffix '{suffix}'. Rename it.")
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise PspError(f"{folder}: the name {path.name!a} is not UTF-8. Rename it.") from None
        name = below + path.stem.removesuffix(suffix)
        if name in stems:
            raise PspError(f"{path}: {stems[name].name} in the same folder has the same name.")
        stems[name] = path
    return stems


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield all files below a folder, sorted, each with its folder's path below ("" or "a/b/").

    Links to folders are followed, once.
    """
    seen: set[tuple[int, int]] = set()

    def enter(path: Path, below: str) -> Iterator[tuple[str, Path]]:
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                return  # a link back to where we came from
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise PspError(f"{path}: cannot be read: {error.strerror}.") from None
        for entry in found:
            if entry.name.startswith("."):
                continue  # macOS leaves ._photo.jpg
            if os.path.isdir(entry.path):  # noqa: PTH112 - entry.is_dir() raises for circular links
                yield from enter(Path(entry.path), f"{below}{entry.name}/")
            else:
                yield below, Path(entry.path)

    if folder.is_dir():
        yield from enter(folder, "")

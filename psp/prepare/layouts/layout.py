"""What a layout is: how the files of a raw data set are recognized and matched into pairs."""

import os
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from psp.annotations.records import AnnotatedPicture
from psp.data.card import Card, SplitEntry
from psp.errors import PspError
from psp.images.kinds import LeftOut, is_litter, sort_files
from psp.images.reading import SUFFIXES
from psp.prepare.own.gather import Gathered

MAX_ENTRIES = 2000  # how many entries of a folder are read to recognize it


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture file and its label file (None: no label); `name` is unique within a split.

    `variable` is the variable of a MATLAB file with the label, such as "GTcls.Segmentation", and
    `names` the one with the class names, which are then compared with the card's ("": none).
    `listed` is the line of a list that names the pair, such as "train.csv, line 3", for messages.
    `drawn` is what an export of a labeling tool says of the picture; `label` is then its file.
    """

    name: str
    image: Path
    label: Path | None
    variable: str = ""
    names: str = ""
    listed: str = ""
    drawn: AnnotatedPicture | None = None


@dataclass(frozen=True)
class Source:
    """The raw data set: the folder that the user gave, its card, and the folder of --sbd.

    `gathered` is what was read of own photos and of labeling tools' exports.
    """

    raw: Path
    card: Card
    sbd: Path | None = None
    gathered: Gathered | None = None


@dataclass(frozen=True)
class SplitPairs:
    """The pairs of a split, sorted by name, and remarks for the user on how they were found.

    `pairs` is None if the download does not have this split. `left_out` counts the files in its
    folders that are not used, by folder.
    """

    pairs: list[Pair] | None
    remarks: list[str] = field(default_factory=list)
    left_out: dict[Path, LeftOut] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """How the raw files of a data set are arranged.

    `description` names the official download for messages. `root(raw)` returns the folder with its
    files, in or near the folder that the user gave, or None. `pairs(source, root, split)` returns
    the pairs of a split and raises PspError if a list or a name is wrong. Files of a pair may not
    exist: the plan checks that.

    The rest is optional. `card` is the shipped card to suggest for a folder that `root` finds.
    `hint(raw)` returns a sentence on what is wrong with a folder that `root` does not find, or what
    it is instead, if it is a common mistake. `sbd_split` is the split that is made from the folder
    of --sbd. `has_folders`: cards of this layout have a table [folders]. `own`: its pictures are
    people's own, which are turned upright, not an official set.
    """

    description: str
    root: Callable[[Path], Path | None]
    pairs: Callable[[Source, Path, SplitEntry], SplitPairs]
    card: str | None = None
    hint: Callable[[Path], str | None] | None = None
    sbd_split: str | None = None
    has_folders: bool = False
    own: bool = False


def find_root(raw: Path, tried: tuple[str, ...], landmarks: tuple[str, ...]) -> Path | None:
    """Return the first of raw/tried[0], raw/tried[1], … that has all landmarks in it, or None.

    Users give the unpacked archive, the folder in it, or the one above it.
    """
    for path in tried:
        if all((raw / path / landmark).exists() for landmark in landmarks):
            return raw / path
    return None


def entries(folder: Path, depth: int = 1) -> Iterator[Path]:
    """Yield the first MAX_ENTRIES entries of a folder and its subfolders, `depth` levels deep."""
    count = 0
    for parent, subfolders, files in os.walk(folder):
        level = len(Path(parent).relative_to(folder).parts)
        for name in sorted(subfolders) + sorted(files):
            count += 1
            if count > MAX_ENTRIES:
                return
            yield Path(parent) / name
        if level + 1 >= depth:
            subfolders.clear()


def match_stems(
    images: Path, labels: Path | None, image_suffix: str = "", label_suffix: str = ""
) -> list[Pair]:
    """Pair the pictures below two folders by path and name without file type, sorted by name.

    The suffixes are removed from the names first; files without them are not part of the data set.
    A file without a partner is paired with a path that does not exist, so that it is reported as
    missing. Raises PspError if two files in a folder have the same name.
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


def picture_stems(
    folder: Path,
    suffix: str = "",
    left_out: dict[Path, LeftOut] | None = None,
    types: Collection[str] | None = None,
) -> dict[str, Path]:
    """Return the pictures below a folder, of these file types: path without suffix and type → file.

    `left_out` gets the files below it that are no pictures that psp reads. Raises PspError if two
    files in a folder have the same name.
    """
    others = LeftOut()
    if left_out is not None:
        left_out[folder] = others
    stems: dict[str, Path] = {}
    for below, path in _files_below(folder, others):
        if types is not None and path.suffix.lower() not in types:
            continue
        if not path.stem.endswith(suffix):
            continue
        if len(path.stem) == len(suffix):
            raise PspError(f"{path}: its name is only the suffix '{suffix}'. Rename it.")
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise PspError(f"{folder}: the name {path.name!a} {_not_text()}") from None
        name = below + path.stem.removesuffix(suffix)
        if name in stems:
            raise PspError(
                f"{path}: {stems[name].name} in the same folder has the same name without its file "
                "type. Rename or remove one of them."
            )
        stems[name] = path
    return stems


def _not_text() -> str:
    """Say why a name is not text: the name itself, or the language settings it is read with."""
    encoding = sys.getfilesystemencoding()
    if encoding.lower().replace("-", "") == "utf8":
        return "is not UTF-8. Rename it."
    return (
        f"cannot be read with this locale ({encoding}). Set PYTHONUTF8=1, or LC_ALL to a UTF-8 "
        "locale."
    )


def _files_below(folder: Path, left_out: LeftOut) -> Iterator[tuple[str, Path]]:
    """Yield the pictures below a folder, sorted, each with the path of its folder ("" or "a/b/").

    Links to folders are followed, but each folder is read only once.
    """
    seen: set[tuple[int, int]] = set()

    def enter(path: Path, below: str) -> Iterator[tuple[str, Path]]:
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                return  # a link to a folder that was read before
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                children = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise PspError(f"{path}: cannot be read: {error.strerror}.") from None
        files = []
        for entry in children:
            if is_litter(entry.name):
                continue  # such as macOS's ._photo.jpg
            if os.path.isdir(entry.path):  # noqa: PTH112 - entry.is_dir() raises for circular links
                yield from enter(Path(entry.path), f"{below}{entry.name}/")
            else:
                files.append(Path(entry.path))
        for file in sort_files(files, SUFFIXES, left_out):
            yield below, file

    if folder.is_dir():
        yield from enter(folder, "")

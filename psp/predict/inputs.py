"""The pictures that the inputs of a command mean, and the names of their results.

Files, folders with their sub-folders, patterns, and lists of files become one sorted mapping of
names to paths. It depends only on the files that exist, so several processes get the same one.
"""

import glob
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from os.path import abspath, commonpath
from pathlib import Path

from psp.errors import PspError
from psp.predict.folder import is_predictions
from psp.predict.photos import PHOTO_SUFFIXES, UNREAD_SUFFIXES


def find_pictures(inputs: Sequence[Path], listed: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the pictures of files, folders and patterns such as photos/*.jpg, by output name.

    A name is the path below the folder, or below the folder that all inputs have in common, without
    suffix. Pictures that would have the same name keep their suffixes, so names are unique.
    `listed` are the lines of a list; a missing file among them is not an error here, but later when
    it is read. Raises PspError for a missing input, and if there are no pictures at all.
    """
    files: list[Path] = []
    for path in inputs:
        files += _expand(path)
    for path in listed:
        files += _walk(path) if path.is_dir() else [path]
    if not files:
        raise PspError("-: no pictures in the folders listed on standard input.")
    paths = {Path(abspath(path)): path for path in files}  # so that no name has a ".." in it
    root = Path(commonpath([path.parent for path in paths]))
    if len(inputs) == 1 and not listed and inputs[0].is_dir():
        root = Path(abspath(inputs[0]))
    names = {path.relative_to(root): paths[path] for path in sorted(paths)}
    uses = Counter(name.with_suffix("") for name in names) + Counter(list(names))
    return {
        str(short if uses[short := name.with_suffix("")] == 1 else name): path
        for name, path in names.items()
    }


def unread_photos(inputs: Iterable[Path]) -> Counter[str]:
    """Count by suffix the photos in folders that psp cannot read, such as .heic and raw files.

    One that has a readable picture of the same name beside it is not counted: it is the same photo.
    """
    counts: Counter[str] = Counter()
    for folder in (path for path in inputs if path.is_dir()):
        files = list(_walk(folder, PHOTO_SUFFIXES | UNREAD_SUFFIXES))
        unread = [path for path in files if path.suffix.lower() in UNREAD_SUFFIXES]
        if unread:  # seldom, and a folder may hold a million pictures
            read = {path.with_suffix("") for path in set(files).difference(unread)}
            counts.update(
                path.suffix.lower() for path in unread if path.with_suffix("") not in read
            )
    return counts


def describe_unread(counts: Counter[str]) -> str:
    """Return one sentence on what `unread_photos` counted, and what to do."""
    kinds = " and ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))
    return f"{kinds}: psp does not read this kind of photo. Convert them to JPEG or PNG"


def read_list(data: bytes) -> list[Path]:
    """Return the paths in a list: one per line, or separated as by `find -print0`."""
    separator = b"\0" if b"\0" in data else b"\n"
    lines = [line.removesuffix(b"\r") for line in data.split(separator)]
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]


def default_out(inputs: Sequence[Path]) -> Path:
    """Return the default folder: PHOTOS-predicted beside a single input, else `predicted`."""
    if len(inputs) != 1 or not inputs[0].exists():
        return Path("predicted")
    only = inputs[0].resolve() if inputs[0].name in ("", "..") else inputs[0]
    return only.with_name(f"{only.stem if only.is_file() else only.name}-predicted")


def _expand(path: Path) -> list[Path]:
    """Return the pictures of one input."""
    if path.is_file():
        return [path]
    if path.is_dir():
        files = list(_walk(path))
        if not files:
            if unread := unread_photos([path]):
                raise PspError(f"{path}: {describe_unread(unread)}.")
            kinds = ", ".join(sorted(PHOTO_SUFFIXES))
            raise PspError(f"{path}: no pictures in this folder ({kinds}).")
        return files
    if not glob.has_magic(str(path)):
        raise PspError(f"{path}: no such file or folder.")
    files = []
    # Not Path.glob, which takes no absolute patterns.
    for match in sorted(map(Path, glob.glob(str(path), recursive=True))):  # noqa: PTH207
        if match.is_dir():
            files += [] if "**" in path.parts else _walk(match)  # ** matches its pictures too
        elif not any(is_predictions(folder) for folder in match.parents):
            files.append(match)
    if not files:
        raise PspError(f"{path}: no such file, and no picture matches it as a pattern.")
    return files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _walk(folder: Path, suffixes: Collection[str] = PHOTO_SUFFIXES) -> Iterator[Path]:
    """Yield the files of these suffixes in a folder and its sub-folders.

    Hidden ones are left out, and psp's own results.
    Links to folders are followed, except those that lead back to a folder above. A broken link is
    yielded: reading it will raise the error.
    """
    waiting: list[tuple[Path, tuple[str, ...]]] = [(folder, (os.path.realpath(folder),))]
    while waiting:
        current, above = waiting.pop()
        if is_predictions(current):
            continue
        try:
            entries = list(os.scandir(current))
        except OSError as error:
            raise PspError(f"{current}: this folder cannot be read: {error.strerror}.") from None
        for entry in entries:
            if entry.name.startswith("."):  # macOS leaves ._photo.jpg, others .thumbnails
                continue
            if _is_folder(entry):
                real = os.path.realpath(entry.path)
                if real not in above:
                    waiting.append((Path(entry.path), (*above, real)))
            elif Path(entry.name).suffix.lower() in suffixes and (
                entry.is_symlink() or entry.is_file()
            ):
                yield Path(entry.path)

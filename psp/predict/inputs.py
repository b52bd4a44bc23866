"""The pictures that the inputs of a command mean, and the names of their results.

Files, folders with their sub-folders, patterns, and lists of files become one sorted mapping of
names to paths. It depends only on the files that exist, so several processes get the same one.
"""

import glob
import os
from collections.abc import Iterator, Sequence
from os.path import abspath, commonpath
from pathlib import Path

from psp.errors import PspError
from psp.images.kinds import LeftOut, is_litter, sort_files
from psp.lists.read import parse_list
from psp.lists.text import is_wide
from psp.predict.folder import is_predictions
from psp.predict.photos import PHOTO_SUFFIXES
from psp.predict.pictures import Pictures
from psp.runs import CONFIG, DRAWN, Run

LIST_SUFFIXES = frozenset({".txt", ".csv", ".tsv", ".lst"})


def find_pictures(
    inputs: Sequence[Path], listed: Sequence[Path] = (), left_out: LeftOut | None = None
) -> Pictures:
    """Return the pictures of files, folders and patterns such as photos/*.jpg, by output name.

    A name is the path below the folder, or below the folder that all inputs have in common, without
    suffix. Pictures that would have the same name keep their suffixes, so names are unique.
    `listed` are the lines of a list; a missing file among them is not an error here, but later when
    it is read. `left_out` gets the files in folders that are not used. Raises PspError for a
    missing input, and if there are no pictures at all.
    """
    left_out = LeftOut() if left_out is None else left_out
    files: list[str] = []
    for path in inputs:
        files += _expand(path, left_out)
    for path in listed:
        files += map(str, _walk(path, left_out)) if path.is_dir() else [str(path)]
    if not files:
        raise PspError(f"-: {_none('the folders listed on standard input', left_out)}.")
    paths = {abspath(path): path for path in files}  # so that no name has a ".." in it
    root = commonpath({path.rpartition("/")[0] or "/" for path in paths})
    if len(inputs) == 1 and not listed and inputs[0].is_dir():
        root = abspath(inputs[0])
    start = len(root.rstrip("/")) + 1
    # In the order of paths, part by part.
    names = {path[start:]: paths[path] for path in sorted(paths, key=_in_parts)}
    taken, several = set(names), set[str]()
    for name in names:
        short = _without_suffix(name)
        (several if short in taken else taken).add(short)
    return Pictures(
        {
            name if (short := _without_suffix(name)) in several else short: path
            for name, path in names.items()
        }
    )


def _in_parts(path: str) -> str:
    return path.replace("/", "\0")


def _without_suffix(name: str) -> str:
    """Return a name as `Path.with_suffix("")` has it."""
    last = name.rpartition("/")[2]
    dot = last.rfind(".")
    return name[: dot - len(last)] if 0 < dot < len(last) - 1 else name


def read_list(data: bytes, remarks: list[str] | None = None) -> list[Path]:
    """Return the pictures in a list: a table of any kind, or names as of `find -print0`.

    A line that is a file's name is that file. `remarks` gets a line about columns that are not
    used, such as that of the masks. Raises PspError for cells that are not understood.
    """
    if b"\0" in data and not is_wide(data):
        return [Path(os.fsdecode(name)) for name in data.split(b"\0") if name.strip()]
    if not data.strip():
        return []
    entries = parse_list(data, "-", exists=os.path.lexists, remarks=remarks, pictures_only=True)
    return [_listed_file(entry.cell) for entry in entries]


def holds_pictures(folder: Path) -> bool:
    """Whether there is a picture in a folder or its sub-folders, psp's own results aside."""
    return next(_walk(folder, LeftOut()), None) is not None


def _listed_file(cell: str) -> Path:
    """Return a list's cell as a path, with forward slashes if only so it is there."""
    forward = Path(cell.replace("\\", "/"))
    return forward if not os.path.lexists(cell) and os.path.lexists(forward) else Path(cell)


def default_out(inputs: Sequence[Path]) -> Path:
    """Return the default folder: PHOTOS-predicted beside a single input, else `predicted`."""
    if len(inputs) != 1 or not inputs[0].exists():
        return Path("predicted")
    only = inputs[0].resolve() if inputs[0].name in ("", "..") else inputs[0]
    return only.with_name(f"{only.stem if only.is_file() else only.name}-predicted")


def _none(where: str, left_out: LeftOut) -> str:
    """Say that there are no pictures, and what there is instead."""
    kinds = ", ".join(sorted(PHOTO_SUFFIXES))
    return (
        f"no pictures in {where}; {left_out}"
        if str(left_out)
        else f"no pictures in {where} ({kinds})"
    )


def _expand(path: Path, left_out: LeftOut) -> list[str]:
    """Return the pictures of one input."""
    if path.is_file():
        if path.suffix.lower() in LIST_SUFFIXES:
            raise PspError(
                f"{path}: not a picture. If it is a list of pictures: psp predict - < {path}"
            )
        return [str(path)]
    if path.is_dir():
        others = LeftOut(remedies=left_out.remedies)
        files = list(map(str, _walk(path, others)))
        if not files:
            raise PspError(f"{path}: {_none('this folder', others)}.")
        left_out.update(others)
        return files
    if not glob.has_magic(str(path)):
        raise PspError(f"{path}: no such file or folder.")
    files = []
    # Not Path.glob, which takes no absolute patterns.
    for match in sorted(map(Path, glob.glob(str(path), recursive=True))):  # noqa: PTH207
        if match.is_dir():
            if "**" not in path.parts:  # it matches its pictures too
                files += map(str, _walk(match, left_out))
        elif not any(is_predictions(folder) for folder in match.parents):
            files.append(str(match))
    if not files:
        raise PspError(f"{path}: no such file, and no picture matches it as a pattern.")
    return files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _drawn(folder: Path, entries: Sequence[os.DirEntry[str]]) -> frozenset[str]:
    """Return the names of what a training drew, if a folder is that of a run."""
    is_run = any(entry.name == CONFIG for entry in entries) and Run(folder).is_sound
    return DRAWN if is_run else frozenset()


def _walk(folder: Path, left_out: LeftOut) -> Iterator[Path]:
    """Yield the pictures in a folder and its sub-folders; count the other files in `left_out`.

    Hidden ones do not count, and psp's own results and the pictures of a run's training.
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
        files = []
        ours = _drawn(current, entries)
        for entry in entries:
            if entry.name in ours or is_litter(
                entry.name
            ):  # macOS leaves ._photo.jpg, others .thumbnails
                continue
            if _is_folder(entry):
                real = os.path.realpath(entry.path)
                if real not in above:
                    waiting.append((Path(entry.path), (*above, real)))
            elif entry.is_symlink() or entry.is_file():
                files.append(Path(entry.path))
        yield from sort_files(files, PHOTO_SUFFIXES, left_out)

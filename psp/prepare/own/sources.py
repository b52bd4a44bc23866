"""What the user gave, own photos with masks or exports, read, and each of their pictures found.

Zips are unpacked for as long as they are used. Each source is recognized by its content.
"""

import contextlib
import difflib
import hashlib
import shlex
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psp.annotations.doubt import Answer, DoubtError
from psp.annotations.format import Format, ReadOptions
from psp.annotations.masks import read_masks
from psp.annotations.pictures import PICTURES, Pictures
from psp.annotations.place import Place
from psp.annotations.records import AnnotatedPicture, Export, MaskFile
from psp.annotations.registry import MASKS, recognize
from psp.annotations.splits import folders_split
from psp.annotations.ultralytics import is_label_file
from psp.annotations.unread import unread
from psp.errors import PspError, nearest
from psp.files import make_folder
from psp.images.kinds import LeftOut, sort_files
from psp.images.reading import SUFFIXES
from psp.locks import file_lock
from psp.prepare.own.unpack import unpack

FEW = 4  # archives that a message names


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where own data lie: photos and masks, or exports; `images` has pictures that lie apart.

    `format` names the format where the content fits several. `video` is the clip that tracks were
    drawn on. `masks` says which files are the masks where there are two kinds.
    """

    paths: tuple[Path, ...]
    images: Path | None = None
    video: Path | None = None
    format: str = ""
    masks: str = ""

    def all_paths(self) -> tuple[Path, ...]:
        """Return every path that the user gave."""
        return (*self.paths, *(path for path in (self.images, self.video) if path))


@contextlib.contextmanager
def open_exports(sources: Sources, workplace: Path) -> Iterator[tuple[Export, ...]]:
    """Yield the exports that the sources hold; each picture's file was looked for.

    Zips are unpacked into hidden folders below `workplace`, which are removed at the end. Raises
    PspError if a source is missing, is of no known format or of several, or cannot be read.
    """
    for path in sources.all_paths():
        if not path.exists():
            raise PspError(f"{path}: no such file or folder.")
    with contextlib.ExitStack() as stack:
        places = [
            stack.enter_context(_opened(path, workplace)) if path.is_file() else Place(path)
            for path in sources.paths
        ]
        found = [
            (_with_pictures(export, place, images), images or place)
            for export, place, images in _read(sources, places)
        ]
        used = {path for export, _ in found for path in _files_of(export)}
        yield tuple(_with_unused(export, where, used, sources.video) for export, where in found)


@contextlib.contextmanager
def _opened(path: Path, workplace: Path) -> Iterator[Place]:
    """Yield the place of a file: the file itself, or a folder with what a zip holds."""
    if path.suffix.lower() != ".zip":
        if path.suffix.lower() in {".tar", ".tgz", ".gz", ".7z", ".rar", ".xz", ".bz2"}:
            raise PspError(f"{path}: an archive. Unpack it, and give the folder. (A .zip is read.)")
        yield Place(path)
        return
    # The same name each time, so that a run that was killed goes on with the same files.
    status = path.stat()
    text = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    name = f".{path.name}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"
    folder = workplace / name
    make_folder(workplace)
    with file_lock(workplace / f"{name}.lock", path):
        try:
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
            unpack(path, folder)
            yield Place(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _read(sources: Sources, places: list[Place]) -> Iterator[tuple[Export, Place, Place | None]]:
    """Yield each export, its place, and where its pictures lie, if that is apart.

    A folder of pictures alone beside an export has its pictures.
    """
    options = ReadOptions(video=sources.video, masks=sources.masks)
    found = [recognize(place) for place in places]
    if two := _two_folders(sources, places, found):
        export = read_masks(*two, photos_first=sources.images is not None)
        yield export, places[0], None
        return
    images = Place(sources.images) if sources.images else None
    pictures = [
        p for p, formats in zip(places, found, strict=True) if not formats and _has_pictures(p)
    ]
    if images is None and len(pictures) == 1 and any(found):
        images = pictures[0]
        found.pop(places.index(images))
        places = [place for place in places if place is not images]
    for place, formats in zip(places, found, strict=True):
        chosen = _chosen(place, formats, sources.format)
        if sources.masks and chosen is not formats.get("masks"):
            raise PspError(f"--masks is for plain masks, and {place.given} is {chosen.title}")
        export = chosen.read(place, options)
        place.forget()
        yield export, place, images


def _two_folders(
    sources: Sources, places: Sequence[Place], found: Sequence[dict[str, Format]]
) -> tuple[Path, Path] | None:
    """Return the two folders if photos and masks are meant; the photos' first, if that is said."""
    if sources.format not in ("", *MASKS) or any(set(formats) - set(MASKS) for formats in found):
        return None
    if not all(place.given.is_dir() for place in places):
        return None
    folders = [place.root for place in places]
    if sources.images is None:
        return (folders[0], folders[1]) if len(folders) == 2 else None
    masks = [f for f in folders if f.resolve() != sources.images.resolve()]
    if len(masks) == 1 and (len(folders) == 2 or (not found[0] and _has_pictures(places[0]))):
        return sources.images, masks[0]
    return None


def _chosen(place: Place, formats: dict[str, Format], wanted: str) -> Format:
    if not set(formats) - set(MASKS) and not wanted and (found := unread(place, spoiling=True)):
        tool, name = found
        raise PspError(f"{place.path(name)}: {tool.title}. {tool.instead}")
    if wanted and wanted in formats:
        return formats[wanted]
    titles = ", ".join(f"{format.title} ({name})" for name, format in formats.items())
    if wanted:
        raise PspError(
            f"{place.given}: does not look like --format {wanted}"
            + (f"; it looks like {titles}." if titles else f".{nearest(wanted, formats)}")
        )
    if len(formats) > 1:
        ways = " or ".join(f"--format {name}" for name in formats)
        raise DoubtError(
            f"{place.given}: may be {titles}. Say which: {ways}, or give the files of one alone",
            f"{place.given} may be several exports. Which is to be read?",
            [Answer(format.title, {"format": name}) for name, format in formats.items()],
        )
    if not formats:
        raise PspError(f"{place.given}: {_unknown(place)}")
    return next(iter(formats.values()))


def _has_pictures(place: Place) -> bool:
    return place.given.is_dir() and bool(place.named(*PICTURES))


def _unknown(place: Place) -> str:
    """Return what a source without annotations is, and what to do."""
    if not place.files:
        return "the folder is empty."
    pictures = place.named(*PICTURES)
    if len(pictures) == len(place.files) and place.given.is_dir():
        return (
            f"{len(pictures)} pictures and no masks or annotations. Give the folder of the masks "
            "too: psp prepare PHOTOS MASKS; or, to label them now: psp predict"
        )
    if found := unread(place):
        tool, name = found
        return f"{name} is {tool.title}, which is not read. {tool.instead}"
    zips = [str(place.path(name)) for name in place.named(".zip")]
    if zips:
        few = shlex.join(zips[:FEW]) + (" …" if len(zips) > FEW else "")
        what = "is an archive" if len(zips) == 1 else f"are {len(zips)} archives"
        return f"there {what} in it. Give what is to be read: psp prepare {few}"
    archive = next(iter(place.named(".tar", ".gz", ".7z", ".rar")), "")
    if archive:
        return f"there is an archive in it, {archive}. Unpack it, and give the folder."
    if labels := [n for n in place.named(".txt") if is_label_file(place, n)]:
        return (
            f"{labels[0]} looks like a label file of Ultralytics (YOLO), but there is no data file "
            "that names the classes. Write data.yaml beside the folders, with lines such as "
            "train: images, names: [cat, dog]"
        )
    return (
        "no annotations of a known format (psp cards formats lists them), and no pictures with "
        "masks. To read other folders, write a card: datasets/README.md"
    )


def _with_pictures(export: Export, place: Place, images: Place | None) -> Export:
    """Return the export with the file of each picture, and with their splits."""
    where = images or place
    # A mask is never taken for the picture that it belongs to, though it may have its name.
    masks = {p.drawn.path for p in export.pictures if isinstance(p.drawn, MaskFile)}
    files = Pictures(where, masks)
    names = [Path(n).name for n in where.named(*PICTURES) if where.path(n) not in masks]
    pictures = [_found(picture, files, where, names, images is None) for picture in export.pictures]
    return replace(export, pictures=tuple(_with_splits(pictures, where.root)))


def _files_of(export: Export) -> Iterator[Path]:
    """Yield the pictures and masks of an export."""
    for picture in export.pictures:
        if picture.image:
            yield picture.image
        if isinstance(picture.drawn, MaskFile):
            yield picture.drawn.path


def _with_unused(export: Export, where: Place, used: set[Path], video: Path | None) -> Export:
    """Return the export with what has no annotation in it and in no other, counted."""
    if not where.given.is_dir():
        return export
    listed = [where.path(name) for name in where.named(*PICTURES)]
    stems = {path.stem for path in used}  # masks and second copies have the pictures' names
    spare = [path for path in listed if path.stem not in stems and not _is_extra(path)]
    remarks = list(export.remarks)
    if spare and len(spare) < len(listed):
        files = "1 picture file" if len(spare) == 1 else f"{len(spare)} picture files"
        remarks.append(
            f"left out, without an annotation: {files} in {where.root} ({spare[0].name}"
            f"{', …' if len(spare) > 1 else ''})"
        )
    return replace(export, remarks=tuple(remarks), left_out=_left_out(where, video))


def _left_out(place: Place, video: Path | None) -> dict[Path, LeftOut]:
    """Count the photos and videos in an export's folders that psp cannot read, by folder."""
    folders: dict[Path, list[Path]] = defaultdict(list)
    for name in place.files:
        path = place.path(name)
        if video is None or path.resolve() != video.resolve():
            folders[path.parent].append(path)
    found = {}
    for folder, files in folders.items():
        left_out = LeftOut()
        for _ in sort_files(files, SUFFIXES, left_out):
            pass
        pictures = {key: count for key, count in left_out.counts.items() if key[0].pictures}
        if pictures:  # annotation files and class names are used, a README is no loss
            found[folder] = LeftOut(Counter(pictures))
    return found


def _with_splits(pictures: list[AnnotatedPicture], root: Path) -> list[AnnotatedPicture]:
    """Return the records with the splits that folders such as train and val say.

    That is, where the export itself has none, and every picture is in such a folder.
    """
    if any(picture.split for picture in pictures):
        return pictures
    splits = [_folder_split(picture.image or picture.source, root) for picture in pictures]
    if not all(splits) or len(set(splits)) < 2:
        return pictures
    return [replace(p, split=split) for p, split in zip(pictures, splits, strict=True)]


def _folder_split(path: Path, root: Path) -> str:
    return folders_split(path.relative_to(root).as_posix()) if path.is_relative_to(root) else ""


def _found(
    picture: AnnotatedPicture,
    files: Pictures,
    where: Place,
    names: Sequence[str],
    may_be_elsewhere: bool,
) -> AnnotatedPicture:
    """Return the record with its picture's file, or with the problem that there is none."""
    if picture.image or picture.embedded or picture.problem:
        return picture
    try:
        path = files.find(picture.wanted, split=picture.split)
    except ValueError as error:
        return replace(picture, problem=f"{picture.source}: {error}")
    if path is not None:
        return replace(picture, image=path)
    near = difflib.get_close_matches(Path(picture.wanted).name, names, n=2, cutoff=0.6)
    problem = f"{picture.source}: its picture '{picture.wanted}' is not in {where.root}."
    if near:
        problem += f" The nearest there: {', '.join(near)}."
    if may_be_elsewhere:
        problem += " Give the folder that has it: --images DIR."
    return replace(picture, problem=problem)


def _is_extra(path: Path) -> bool:
    """Whether a file is what exports have beside masks: instances, visualizations."""
    return any(
        word in path.parent.name.lower() for word in ("object", "visualization", "viz", "instance")
    )

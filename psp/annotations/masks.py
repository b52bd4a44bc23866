"""Plain masks: a folder with pictures and masks, or one folder of each, from any program."""

from collections.abc import Sequence
from pathlib import Path

from psp.annotations.arrangement import (
    Arrangement,
    Pair,
    arrange,
    arrange_two,
    check,
    folders_of,
)
from psp.annotations.class_names import Names, find_names
from psp.annotations.format import Format, ReadOptions
from psp.annotations.jpeg_masks import interpret_any
from psp.annotations.meaning import Meaning
from psp.annotations.place import Place
from psp.annotations.records import AnnotatedPicture, Export
from psp.annotations.scan import Scan, scan_masks
from psp.errors import PspError


def recognizes(place: Place) -> bool:
    """Whether some of the pictures in a folder are masks of others, by their pixels."""
    if place.given.is_file():
        return False
    try:
        found = arrange(place)
    except PspError:  # which of them are the masks is in doubt; `read` says so
        return True
    if found is None:
        return False
    # Where no name fits, a single picture of few colors is no mask, but many are; `read` says why.
    return any(pair.photo for pair in found.pairs) or 2 * len(found.pairs) >= len(found.alone)


def read(place: Place, options: ReadOptions) -> Export:
    """Read a folder with pictures and masks in it. Raises PspError, with the reason."""
    found = arrange(place, options.masks)
    if found is None:
        raise PspError(
            f"{place.given}: no pictures with masks: of its pictures, all look like photos or all "
            "like masks. Give two folders: psp prepare PHOTOS MASKS"
        )
    return from_arrangement("plain masks", found, [place.root])


def read_masks(first: Path, second: Path, *, photos_first: bool = False) -> Export:
    """Read two folders, whichever of them has the masks, unless the first has the photos for sure.

    Raises PspError, with the reason.
    """
    if first.resolve() == second.resolve():
        return read(Place(first), ReadOptions())
    found = arrange_two(first, second, photos_first=photos_first)
    above = [folder.parent for folder in (first, second)]
    return from_arrangement("plain masks", found, [first, second, *above])


def from_arrangement(
    title: str, found: Arrangement, roots: Sequence[Path], names: Names | None = None
) -> Export:
    """Return the export of photos and masks; class names are looked for in and above `roots`."""
    check(found)
    paths = [pair.mask for pair in found.pairs] + [pair.photo for pair in found.pairs if pair.photo]
    folders = list(roots)
    for root in roots:
        folders += folders_of(paths, root) if root.is_dir() else []
    names = names or find_names(folders)
    scans = scan_masks([pair.mask for pair in found.pairs])
    meaning = interpret_any(scans, names)
    return export_of(title, found.pairs, scans, meaning, found.remarks)


def export_of(
    title: str,
    pairs: Sequence[Pair],
    scans: Sequence[Scan],
    meaning: Meaning,
    said: Sequence[str] = (),
) -> Export:
    """Return the export of pairs, whose masks' scans are given in the same order."""
    pictures = [picture(pair, scan, meaning) for pair, scan in zip(pairs, scans, strict=True)]
    return Export(
        format=title,
        classes=meaning.classes,
        pictures=tuple(pictures),
        colors=meaning.colors,
        background=meaning.background,
        ignored=meaning.ignored,
        remarks=(*said, *meaning.remarks),
    )


def picture(pair: Pair, scan: Scan, meaning: Meaning) -> AnnotatedPicture:
    """Return the record of a pair."""
    problem = scan.problem
    if not problem and pair.photo is None and not pair.wanted:
        problem = f"{pair.mask}: there is no photo that is named like this mask. Add it, or rename"
    return AnnotatedPicture(
        name=pair.name,
        source=pair.mask,
        wanted=pair.photo.name if pair.photo else pair.wanted or pair.mask.stem,
        image=pair.photo,
        size=scan.size if not scan.problem else None,
        split=pair.split,
        drawn=meaning.files.get(pair.mask, ()),
        seen=meaning.seen.get(pair.mask),
        problem=problem,
    )


MASKS = Format("plain masks", recognizes, read)

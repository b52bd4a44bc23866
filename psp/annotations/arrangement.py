"""Which files of a folder are photos and which are their masks, and which belong together.

Files are looked at (looks.py) in groups: those of one folder whose names are built alike. Names of
folders and files decide only where the pixels leave a doubt.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from psp.annotations.doubt import Answer, DoubtError
from psp.annotations.groups import (
    Group,
    by_contrast,
    by_names,
    groups_of,
    pictures_of,
    without_others,
)
from psp.annotations.looks import Kind, kind_of
from psp.annotations.matching import match
from psp.annotations.naming import (
    cleaned,
    plain_key,
    role_of,
    split_of,
)
from psp.annotations.place import Place
from psp.errors import PspError


@dataclass(frozen=True)
class Pair:
    """A mask and its photo, which may be missing; `name` is without the words for the two kinds.

    `wanted` is the name of the photo's file, if it may lie in another place; "" if it cannot.
    """

    name: str
    photo: Path | None
    mask: Path
    split: str
    wanted: str = ""


@dataclass(frozen=True)
class Arrangement:
    """The pairs, the photos without a mask, and what is to be said of how they were found."""

    pairs: list[Pair]
    alone: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def arrange(place: Place, wanted: str = "") -> Arrangement | None:
    """Find photos and masks below one folder; None if there are not both.

    `wanted` says which files are the masks, as `labels/*.png`. Raises DoubtError where several
    groups of files may be the masks, and PspError if none is as wanted.
    """
    groups = groups_of(place)
    if wanted:
        return _arranged(place, groups, *_as_wanted(place, groups, wanted))
    masks = [group for group in groups if group.kind.are_masks]
    photos = [group for group in groups if not group.kind.are_masks and group.kind.readable]
    if not (masks and photos):
        masks = by_names(groups) or by_contrast(groups)
    photos = [group for group in groups if group not in masks]
    if not (masks and photos):
        return None
    masks, photos = without_others(masks), without_others(photos)
    masks, drawn = _one_kind(place, masks)
    return _arranged(place, groups, masks, photos + drawn)


def _as_wanted(
    place: Place, groups: Sequence[Group], wanted: str
) -> tuple[list[Group], list[Group]]:
    """Return the groups of masks that the user names, and those of the photos."""
    masks = [group for group in groups if f"/{group.shown}".endswith(f"/{wanted}")]
    others = [group for group in groups if group not in masks]
    photos = without_others([g for g in others if not g.kind.are_masks] or others)
    if not (masks and photos):
        there = ", ".join(dict.fromkeys(group.pattern for group in groups))
        raise PspError(f"{place.root}: --masks {wanted}: no such files beside photos ({there})")
    return masks, photos


def _arranged(
    place: Place, groups: Sequence[Group], masks: list[Group], photos: list[Group]
) -> Arrangement:
    """Match the files of the groups of photos and of masks."""
    both = [
        {place.path(file): file for group in groups for file in group.files}
        for groups in (photos, masks)
    ]
    photo_keys, mask_keys = ({path: cleaned(file) for path, file in side.items()} for side in both)
    whole = _paired(photo_keys, mask_keys)
    if not whole.alone and all(pair.photo for pair in whole.pairs):
        return whole
    # The folders of the two kinds may be named in a way that says nothing: town/a and truth/a.
    photo_keys, mask_keys = (
        {path: _below(file, groups) for path, file in side.items()}
        for side, groups in zip(both, (photos, masks), strict=True)
    )
    below = _paired(photo_keys, mask_keys)
    best = max(whole, below, key=lambda found: sum(pair.photo is not None for pair in found.pairs))
    return _without_strangers(best, place, masks)


def _without_strangers(found: Arrangement, place: Place, masks: Sequence[Group]) -> Arrangement:
    """Leave out groups of few colors of which no file has a photo: a legend, a logo."""
    of_photos = {pair.mask for pair in found.pairs if pair.photo}
    strangers = {
        path
        for group in masks
        if not of_photos & (paths := {place.path(file) for file in group.files})
        for path in paths
    }
    if not strangers or not of_photos:
        return found
    count = len(strangers)
    what = "file looks like a mask" if count == 1 else "files look like masks"
    remark = f"{count} {what} of no photo, left out: {min(strangers)}{', …' if count > 1 else ''}"
    pairs = [pair for pair in found.pairs if pair.mask not in strangers]
    return replace(found, pairs=pairs, remarks=[*found.remarks, remark])


def arrange_two(first: Path, second: Path, *, photos_first: bool = False) -> Arrangement:
    """Match the files of two folders; which of them has the masks is seen by their pixels.

    `photos_first` says that it is the second. Raises DoubtError, with what was seen, where pixels
    and names leave it open.
    """
    both = [
        (folder, [Place(folder).path(name) for name in pictures_of(Place(folder))])
        for folder in (first, second)
    ]
    for folder, files in both:
        if not files:
            raise PspError(f"{folder}: has no pictures or masks. Give the folder that has them")
    (_, one), (_, other) = both
    kinds = kind_of(one), kind_of(other)
    swapped = kinds[0].are_masks and not photos_first
    if not photos_first and kinds[0].are_masks == kinds[1].are_masks:
        words = [role_of(folder.name) for folder in (first, second)]
        if sorted(words) == ["mask", "photo"]:
            swapped = words[0] == "mask"
        elif kinds[0].are_masks and kinds[0].contrasts(kinds[1]):
            swapped = kinds[0].colors < kinds[1].colors
        else:
            raise _doubt(first, second, kinds)
    photos, masks = (both[1], both[0]) if swapped else (both[0], both[1])

    def keys(folder: Path, files: Sequence[Path]) -> dict[Path, str]:
        return {path: cleaned(path.relative_to(folder).as_posix()) for path in files}

    # Splits may stand in the two folders' own names, too: train_images and train_labels.
    split = split_of(photos[0].name) if split_of(photos[0].name) == split_of(masks[0].name) else ""
    return _paired(keys(*photos), keys(*masks), split)


def _doubt(first: Path, second: Path, kinds: tuple[Kind, Kind]) -> DoubtError:
    if kinds[0].are_masks:
        what = f"both look like masks ({_seen(kinds[0])}; {_seen(kinds[1])})"
    else:
        what = f"neither looks like masks ({_seen(kinds[0])}; {_seen(kinds[1])})"
    return DoubtError(
        f"{first} and {second}: {what}. Masks have few colors. Say which are the photos: "
        f"--images {shlex.quote(str(first))} or --images {shlex.quote(str(second))}",
        f"{first} and {second}: {what}. Which has the photos?",
        [Answer(str(folder), {"images": folder}) for folder in (first, second)],
    )


def _seen(kind: Kind) -> str:
    return f"{kind.example.parent.name}/{kind.example.name} has {kind.colors} colors"


def _one_kind(place: Place, masks: Sequence[Group]) -> tuple[list[Group], list[Group]]:
    """Return the masks, and what are photos of few colors after all.

    JPEGs beside lossless masks of the same names are those. Raises PspError if photos have masks of
    two kinds: values and colors, say.
    """
    seen: dict[str, Group] = {}
    drawn: list[Group] = []
    for group in sorted(masks, key=lambda group: group.is_jpeg):
        for file in group.files:
            other = seen.setdefault(plain_key(cleaned(file)), group)
            if other is group:
                continue
            if group.is_jpeg and not other.is_jpeg:
                drawn.append(group)
                break
            kinds = [other.pattern, group.pattern]
            raise DoubtError(
                f"{place.root}: two kinds of masks, {kinds[0]} and {kinds[1]}. Say which: "
                f"--masks '{kinds[0]}' or --masks '{kinds[1]}'",
                f"{place.root} has two kinds of masks. Which are to be learned?",
                [Answer(kind, {"masks": kind}) for kind in kinds],
            )
    return [group for group in masks if group not in drawn], drawn


def _below(file: str, groups: Sequence[Group]) -> str:
    """Return a file's path below the folder that all groups of its kind have in common."""
    folders = [PurePosixPath(group.folder).parts for group in groups]
    common = 0
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1 or split_of(parts[0]):
            break
        common += 1
    return cleaned("/".join(PurePosixPath(file).parts[common:]))


def _paired(photos: Mapping[Path, str], masks: Mapping[Path, str], split: str = "") -> Arrangement:
    matched, remarks = match(_unique(photos), _unique(masks))
    pairs, alone = [], []
    for name, (photo, mask) in matched.items():
        if mask is None:
            assert photo is not None
            alone.append(photo)
        else:
            own = next((s for part in name.split("/")[:-1] if (s := split_of(part))), split)
            pairs.append(Pair(name, photo, mask, own))
    if alone:
        shown = ", ".join(path.name for path in alone[:3]) + (", …" if len(alone) > 3 else "")
        have = "picture has" if len(alone) == 1 else "pictures have"
        remarks.append(f"{len(alone)} {have} no mask, left out: {shown}")
    return Arrangement(pairs, alone, remarks)


def check(found: Arrangement) -> Arrangement:
    """Raise PspError if no mask was matched with a photo."""
    if not any(pair.photo for pair in found.pairs):
        photo = f" ({found.alone[0].name}, …)" if found.alone else ""
        raise PspError(
            f"{found.pairs[0].mask}: no mask is named like a photo{photo}: name both alike"
        )
    return found


def _unique(keys: Mapping[Path, str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path, key in keys.items():
        if key in files:
            raise PspError(
                f"{path}: {files[key]} has the same name but for its folder or file type. Rename "
                "or remove one of them"
            )
        files[key] = path
    return files


def folders_of(paths: Iterable[Path], root: Path) -> list[Path]:
    """Return the folders of some files and all above them, up to `root`: where names may lie."""
    found: dict[Path, None] = {root: None}
    for path in paths:
        for parent in path.parents:
            if parent in found or root not in (parent, *parent.parents):
                break
            found[parent] = None
    return list(found)

"""Which files of a folder are photos and which are their masks, and which belong together.

Files are looked at (looks.py) in groups: those of one folder whose names are built alike. Names of
folders and files decide only where the pixels leave a doubt.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from psp.annotations.looks import CONTRAST, Kind, kind_of
from psp.annotations.matching import match
from psp.annotations.naming import (
    OTHER_WORDS,
    cleaned,
    ending_of,
    plain_key,
    role_of,
    split_of,
    words_of,
)
from psp.annotations.pictures import PICTURES
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


@dataclass(frozen=True)
class _Group:
    """Files of one folder (path below the root) whose names end alike."""

    folder: str
    ending: str
    files: tuple[str, ...]
    kind: Kind

    @property
    def shown(self) -> str:
        return f"{self.folder or '.'}/*{self.ending}"

    @property
    def is_jpeg(self) -> bool:
        return self.ending.endswith(".jpg")


def arrange(place: Place) -> Arrangement | None:
    """Find photos and masks below one folder; None if there are not both.

    Raises PspError where several groups of files may be the masks.
    """
    groups = _groups(place)
    masks = [group for group in groups if group.kind.are_masks]
    photos = [group for group in groups if not group.kind.are_masks and group.kind.readable]
    if not (masks and photos):
        masks = _by_names(groups) or _by_contrast(groups)
    photos = [group for group in groups if group not in masks]
    if not (masks and photos):
        return None
    masks, photos = _without_others(masks), _without_others(photos)
    masks, drawn = _one_kind(place, masks)
    photos += drawn
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


def _without_strangers(found: Arrangement, place: Place, masks: Sequence[_Group]) -> Arrangement:
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


def arrange_two(first: Path, second: Path) -> Arrangement:
    """Match the files of two folders; which of them has the masks is seen by their pixels.

    Raises PspError, with what was seen, where that leaves a doubt.
    """
    both = [
        (folder, [Place(folder).path(name) for name in _pictures(Place(folder))])
        for folder in (first, second)
    ]
    for folder, files in both:
        if not files:
            raise PspError(f"{folder}: has no pictures or masks. Give the folder that has them")
    (_, one), (_, other) = both
    kinds = kind_of(one), kind_of(other)
    swapped = kinds[0].are_masks
    if kinds[0].are_masks == kinds[1].are_masks:
        words = [role_of(folder.name) for folder in (first, second)]
        if sorted(words) == ["mask", "photo"]:
            swapped = words[0] == "mask"
        elif kinds[0].are_masks and kinds[0].contrasts(kinds[1]):
            swapped = kinds[0].colors < kinds[1].colors
        else:
            raise PspError(_doubt(first, second, kinds))
    photos, masks = (both[1], both[0]) if swapped else (both[0], both[1])

    def keys(folder: Path, files: Sequence[Path]) -> dict[Path, str]:
        return {path: cleaned(path.relative_to(folder).as_posix()) for path in files}

    # Splits may stand in the two folders' own names, too: train_images and train_labels.
    split = split_of(photos[0].name) if split_of(photos[0].name) == split_of(masks[0].name) else ""
    return _paired(keys(*photos), keys(*masks), split)


def _doubt(first: Path, second: Path, kinds: tuple[Kind, Kind]) -> str:
    if kinds[0].are_masks:
        what = f"both look like masks ({_seen(kinds[0])}; {_seen(kinds[1])})"
    else:
        what = f"neither looks like masks ({_seen(kinds[0])}; {_seen(kinds[1])})"
    return (
        f"{first} and {second}: {what}. Masks have few colors: give the folder with the photos and "
        "the one with the masks, or name them images and masks"
    )


def _seen(kind: Kind) -> str:
    return f"{kind.example.parent.name}/{kind.example.name} has {kind.colors} colors"


def _pictures(place: Place) -> tuple[str, ...]:
    return place.named(*PICTURES)


def _groups(place: Place) -> list[_Group]:
    """Group the picture files by their folder, addition and type."""
    members: dict[tuple[str, str], list[str]] = {}
    for file in _pictures(place):
        path = PurePosixPath(file)
        folder = "" if path.parent.as_posix() == "." else path.parent.as_posix()
        members.setdefault((folder, ending_of(path.name)), []).append(file)
    return [
        _Group(folder, ending, tuple(files), kind_of([place.path(file) for file in files]))
        for (folder, ending), files in members.items()
    ]


def _by_names(groups: Sequence[_Group]) -> list[_Group]:
    """Return the groups whose folder or ending says masks, if others say photos.

    It is asked where pixels alone leave a doubt: drawn pictures, masks with the noise of JPEG.
    """
    masks = [
        g
        for g in groups
        if role_of(PurePosixPath(g.folder).name) == "mask"
        or role_of(PurePosixPath(g.folder).parent.name) == "mask"
        or len(words_of(g.ending)) > 1
    ]
    return masks if 0 < len(masks) < len(groups) else []


def _by_contrast(groups: Sequence[_Group]) -> list[_Group]:
    """Return the masks where all groups have few colors: of JPEGs and others not the JPEGs.

    Drawn pictures have many times the colors of their masks.
    """
    if not all(group.kind.are_masks for group in groups):
        return []
    lossless = [group for group in groups if not group.is_jpeg]
    if len(lossless) < len(groups):
        return lossless
    few = min((group.kind.colors for group in groups), default=0)
    masks = [group for group in groups if group.kind.colors < CONTRAST * few]
    return masks if len(masks) < len(groups) else []


def _without_others(groups: list[_Group]) -> list[_Group]:
    """Leave out pictures of objects and previews, where something else is left."""
    kept = [
        group
        for group in groups
        if not ({word for part in group.folder.split("/") for word in words_of(part)} & OTHER_WORDS)
        and not (set(words_of(group.ending)) & OTHER_WORDS)
    ]
    return kept or groups


def _one_kind(place: Place, masks: Sequence[_Group]) -> tuple[list[_Group], list[_Group]]:
    """Return the masks, and what are photos of few colors after all.

    JPEGs beside lossless masks of the same names are those. Raises PspError if photos have masks of
    two kinds: values and colors, say.
    """
    seen: dict[str, _Group] = {}
    drawn: list[_Group] = []
    for group in sorted(masks, key=lambda group: group.is_jpeg):
        for file in group.files:
            other = seen.setdefault(plain_key(cleaned(file)), group)
            if other is group:
                continue
            if group.is_jpeg and not other.is_jpeg:
                drawn.append(group)
                break
            raise PspError(
                f"{place.root}: two kinds of masks, {other.shown} and {group.shown}. Move one of "
                "them away, or give two folders: psp prepare PHOTOS MASKS"
            )
    return [group for group in masks if group not in drawn], drawn


def _below(file: str, groups: Sequence[_Group]) -> str:
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

"""Where the masks of one's own pictures are, if not in the folder that the card names."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from psp.annotations.matching import match, told_apart
from psp.data.card import Folders
from psp.errors import PspError
from psp.images.heif import AVIF_SUFFIXES, HEIF_SUFFIXES
from psp.images.kinds import LeftOut
from psp.images.reading import SUFFIXES
from psp.prepare.layouts.layout import picture_stems

FOLDERS, DEPTH = 300, 4  # how many folders are looked at, and how deep
SHOWN = 8
LOSSY = (
    frozenset({".jpg", ".jpeg", ".webp"}) | HEIF_SUFFIXES | AVIF_SUFFIXES
)  # photos' file types, never a mask's
LOSSLESS = SUFFIXES - LOSSY
LOSSY = (
    frozenset({".jpg", ".jpeg", ".webp"}) | HEIF_SUFFIXES | AVIF_SUFFIXES
)  # photos' file types, never a mask's
LOSSLESS = SUFFIXES - LOSSY


def find_masks(
    root: Path, images: Path, wanted: Path, pictures: Mapping[str, Path]
) -> tuple[dict[str, Path], str] | None:
    """Return the masks in another folder below `root` that has one for each picture, and a remark.

    None if there is none. Raises PspError if several folders fit, and names them.
    """
    fitting: dict[Path, dict[str, Path]] = {}
    for folder in _folders(root):
        if folder == images or images.is_relative_to(folder) or folder.is_relative_to(images):
            continue
        try:
            masks = picture_stems(folder)
            pairs = match(pictures, masks)[0] if len(masks) >= len(pictures) else {}
        except PspError:
            continue
        if pairs and all(pairs[name][1] is not None for name in pictures):
            fitting[folder] = masks
    inner = [
        folder
        for folder in fitting
        if not any(other != folder and other.is_relative_to(folder) for other in fitting)
    ]
    if len(inner) > 1:
        both = " and ".join(map(str, sorted(inner)[:2]))
        raise PspError(
            f"{wanted}: no masks in this folder. {both} both have files that fit. Name one in the "
            "card's [folders]"
        )
    if not inner:
        return None
    remark = f"{wanted}: no masks here; those in {inner[0]} fit all pictures, and are used"
    return fitting[inner[0]], remark


def in_one_folder(
    folder: Path, folders: Folders, remarks: list[str], left_out: dict[Path, LeftOut]
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the pictures and the masks in one folder; `remarks` gets what told them apart.

    `left_out` gets the files that are not used. What tells them apart is a suffix, words in the
    masks' names, or that one is a JPEG and the other is not. Raises PspError if nothing does.
    """
    if folders.mask_suffix or folders.image_suffix:
        masks = picture_stems(folder, folders.mask_suffix, left_out)
        pictures = picture_stems(folder, folders.image_suffix)
        if folders.mask_suffix and not folders.image_suffix:
            taken = set(masks.values())
            pictures = {name: path for name, path in pictures.items() if path not in taken}
        return pictures, masks
    photos = picture_stems(folder, "", left_out, LOSSY)
    others = picture_stems(folder, types=LOSSLESS)
    if photos and photos.keys() == others.keys():
        first = min(photos)
        remarks.append(
            f"{folder}: of files of one name, JPEGs are taken as pictures and the others as masks: "
            f"{photos[first].name} and {others[first].name}"
        )
        return photos, others
    every = picture_stems(folder)
    both = told_apart(every) if every else (every, dict[str, Path]())
    if both is None:
        raise PspError(
            f"{folder}: pictures and masks are in one folder, and their names do not tell them "
            "apart. Give the card's [folders] a mask_suffix such as '_mask', or move the masks "
            "into a folder of their own"
        )
    return both


def in_any_case(path: Path) -> Path:
    """Return a folder's path, or where it is not there, that of the one but for capital letters."""
    if path.is_dir() or not path.parent.is_dir():
        return path
    alike = [other for other in path.parent.iterdir() if other.name.lower() == path.name.lower()]
    return alike[0] if len(alike) == 1 and alike[0].is_dir() else path


def folders_there(root: Path) -> str:
    """Return " The folders there: photos, masks." or ""."""
    names = [str(folder.relative_to(root)) for folder in _folders(root) if folder != root]
    more = ", …" if len(names) > SHOWN else ""
    return f" The folders there: {', '.join(sorted(names)[:SHOWN])}{more}." if names else ""


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders below `root` that have files in them, the hidden ones left out."""
    for count, (parent, below, files) in enumerate(os.walk(root)):
        path = Path(parent)
        below[:] = sorted(name for name in below if not name.startswith("."))
        if len(path.relative_to(root).parts) >= DEPTH:
            below.clear()
        if count > FOLDERS:
            return
        if files:
            yield path

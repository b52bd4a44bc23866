"""Your own data: images and masks in folders, matched by name, with the splits of the card."""

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from psp.annotations.matching import match, same_file, told_apart
from psp.data.card import Folders, SplitEntry
from psp.errors import PspError
from psp.images.kinds import LeftOut
from psp.lists.read import Entry, read_list
from psp.prepare.layouts.layout import Layout, Pair, Source, SplitPairs, picture_stems
from psp.prepare.layouts.places import find_masks, folders_there, in_any_case, in_one_folder

_COLUMNS = re.compile(r"[,;|\t]|\.\w{3,4}\s")  # in a line: it is more than one name


def root(raw: Path) -> Path | None:
    """Return the folder itself: the card says what is in it."""
    return raw if raw.is_dir() else None


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split: those in its folders, in its list, or in its fraction.

    Raises PspError if there is no folder of pictures for a list or a fraction.
    """
    folders = source.card.folders
    assert folders is not None  # checked by find_layout
    if split.list is not None and not split.required and not (root / split.list).exists():
        return SplitPairs(None)
    found = _Found(root, folders, split)
    remarks = found.remarks
    if not found.images.is_dir():
        if split.list is None and split.fraction is None:
            return SplitPairs([] if split.required else None)
        raise PspError(
            f"{found.images}: no such folder, and the card's [folders] expects the pictures there."
            f"{folders_there(root) or ' There are no others'}"
        )
    if split.list is not None:
        entries = found.entries(root / split.list, split.name, remarks)
        return SplitPairs(found.listed(entries, root / split.list), remarks, found.left_out)
    names: Collection[str] | None = None
    if split.fraction is not None:
        taken = set()  # pictures in lists are not in the fractions
        for other in source.card.splits:
            for entry in found.entries(root / other.list, other.name, []) if other.list else []:
                taken.add(_named(entry.name, found.pictures)[0])
        names = {*found.pictures, *found.labels} - taken
    all_pairs = {pair.name: pair for pair in found.matched(names)}
    if split.fraction is not None:
        chosen = _fraction(all_pairs, source, split, folders)
        return SplitPairs([all_pairs[name] for name in sorted(chosen)], remarks, found.left_out)
    return SplitPairs(list(all_pairs.values()), remarks, found.left_out)


class _Found:
    """The pictures and masks in a split's folders, by path without suffix and file type."""

    def __init__(self, root: Path, folders: Folders, split: SplitEntry) -> None:
        self.folders = folders
        self.remarks: list[str] = []  # on how they were found
        self.left_out: dict[Path, LeftOut] = {}  # files that are not used, by folder
        self.labels: dict[str, Path] = {}
        self.masks: Path | None = None
        self.images = in_any_case(root / folders.images.replace("{split}", split.name))
        if split.labels:
            self.masks = in_any_case(root / folders.masks.replace("{split}", split.name))
        if self.masks is None:
            self.pictures = picture_stems(self.images, folders.image_suffix, self.left_out)
            return
        if self.masks.resolve() == self.images.resolve():
            self.pictures, self.labels = in_one_folder(
                self.images, folders, self.remarks, self.left_out
            )
            return
        self.pictures = picture_stems(self.images, folders.image_suffix, self.left_out)
        self.labels = picture_stems(self.masks, folders.mask_suffix, self.left_out)
        if not self.labels and self.pictures and not folders.mask_suffix:
            self._look_elsewhere(root, self.masks)

    def _look_elsewhere(self, root: Path, masks: Path) -> None:
        """Take the masks in another folder, or beside the pictures, if they fit all pictures."""
        both = told_apart(self.pictures)
        elsewhere = None if both else find_masks(root, self.images, masks, self.pictures)
        if both:
            self.pictures, self.labels = both
            self.remarks.append(
                f"{masks}: no masks here; {len(self.labels)} files beside the pictures in "
                f"{self.images} are taken as masks, by their names"
            )
        elif elsewhere is not None:
            self.labels = elsewhere[0]
            self.remarks.append(elsewhere[1])

    def entries(self, path: Path, split: str, remarks: list[str]) -> list[Entry]:
        """Return the entries of a list for a split."""

        def exists(cell: str) -> bool:
            whole = PurePosixPath(cell.replace("\\", "/"))
            for path in (whole.with_suffix(""), whole) if whole.name else ():
                tail = next((tail for tail in _tails(str(path)) if tail in self.pictures), None)
                if tail is not None and not _COLUMNS.search(str(path).removesuffix(tail)):
                    return True
            return False

        return read_list(path, split=split, exists=exists, remarks=remarks)

    def listed(self, entries: list[Entry], path: Path) -> list[Pair]:
        """Return the pairs of a list's entries: paths below the images' folder, or longer ones.

        A mask that the list names beside the picture is that picture's mask; the others are looked
        for. What is not there gives files that do not exist, so that they are reported as missing.
        """
        pairs: dict[str, Pair] = {}
        lines: dict[str, int] = {}
        without_mask = []
        for entry in entries:
            name, image = _named(entry.name, self.pictures)
            if name in lines:
                raise PspError(
                    f"{path}: lines {lines[name]} and {entry.line} name one picture, "
                    f"{image or name}. Remove one."
                )
            lines[name] = entry.line
            where = f"{path.name}, line {entry.line}"
            there = image or _absent(self.images, entry.cell)
            label = None
            if entry.mask is not None and self.masks is not None:
                label = _named(entry.mask, self.labels)[1]
                label = label or _absent(self.masks, entry.mask_cell or entry.mask)
            elif image is not None:
                without_mask.append(name)
            pairs[name] = Pair(name, there, label, listed=where)
        for pair in self.matched(without_mask, rest=False):
            pairs[pair.name] = replace(pair, listed=pairs[pair.name].listed)
        written = {entry.line: _tails(entry.name) for entry in entries}
        unlike = [n for n in pairs if n in self.pictures and n not in written[lines[n]]]
        if unlike:
            self.remarks.append(
                f"{path}: {len(unlike)} names differ from the files' in capital letters or the "
                f"spelling of accents: {self.pictures[unlike[0]].name}"
            )
        return [pairs[name] for name in sorted(pairs)]

    def matched(self, names: Collection[str] | None, *, rest: bool = True) -> Iterator[Pair]:
        """Yield the pairs of these pictures, all if None; `rest`: and masks without a picture.

        A file without a partner is paired with a path that does not exist.
        """
        wanted = self.pictures
        if names is not None:
            wanted = {n: self.pictures[n] for n in sorted(names) if n in self.pictures}
        if self.masks is None:
            for name in sorted(wanted):
                yield Pair(name, wanted[name], None)
            return
        labels = self.labels
        if names is not None and rest:
            others = self.pictures.keys() - set(names)
            labels = {name: path for name, path in labels.items() if name not in others}
        matched, said = match(wanted, labels)
        self.remarks.extend(said)
        image_end, mask_end = self.folders.image_suffix, self.folders.mask_suffix
        for name, (image, label) in matched.items():
            if image is None and not rest:
                continue
            yield Pair(
                name,
                image or self.images / f"{name}{image_end}.png",
                label or self.masks / f"{name}{mask_end}.png",
            )


def _absent(folder: Path, cell: str) -> Path:
    """Return where a file that a list names should be, below its folder."""
    parts = [part for part in PurePosixPath(cell.replace("\\", "/")).parts if part != "/"]
    if folder.name in parts[:-1]:
        parts = parts[len(parts) - parts[::-1].index(folder.name) :]
    path = folder.joinpath(*parts)
    path = path if path.parent.is_dir() else folder / path.name
    return path if path.suffix else path.with_name(f"{path.name}.png")


def _named(name: str, files: dict[str, Path]) -> tuple[str, Path | None]:
    """Return the name and the file of a list's path: the longest end of it that is there."""
    for tail in _tails(name):
        if tail in files:
            return tail, files[tail]
    for tail in _tails(name):
        alike = same_file(tail, files)
        if alike is not None:
            return alike, files[alike]
    return "/".join(part for part in PurePosixPath(name).parts if part != "/"), None


def _tails(name: str) -> list[str]:
    parts = PurePosixPath(name).parts
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _fraction(
    all_pairs: dict[str, Pair], source: Source, split: SplitEntry, folders: Folders
) -> list[str]:
    """Return the names in a split's fraction: a slice of all names in a random order.

    The order depends only on the seed and the names. A name is in one split at most.
    """

    def draw(name: str) -> bytes:
        return hashlib.sha256(f"{folders.seed}:{name}".encode()).digest()

    order = sorted(all_pairs, key=draw)
    start = 0.0
    for other in source.card.splits:
        stop = start + (other.fraction or 0)
        if other.name == split.name:
            return order[round(start * len(order)) : round(stop * len(order))]
        start = stop
    return []


LAYOUT = Layout("a folder of images and masks", root, pairs, has_folders=True, own=True)

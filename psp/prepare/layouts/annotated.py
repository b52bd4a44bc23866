"""Own photos with masks and exports of labeling tools, as psp/prepare/own read them."""

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from psp.annotations.records import AnnotatedPicture, Export, MaskFile
from psp.data.card import IGNORE, Exports, SplitEntry
from psp.errors import PspError
from psp.files import file_sha256
from psp.prepare.layouts.layout import Layout, Pair, Source, SplitPairs
from psp.prepare.own.splits import TRAIN, Candidate, divide


def root(raw: Path) -> Path | None:
    """Return the first source: what is in it was recognized before."""
    return raw


def pairs(source: Source, root: Path, split: SplitEntry) -> SplitPairs:
    """Return the pairs of a split of the exports' own, or of one that is made from the names."""
    table = source.card.exports
    if table is None or not source.exports:
        raise PspError(
            f"card {source.card.name}: its sources are read by psp prepare, and by "
            "psp.prepare.own.prepare: give the card alone"
        )
    pictures, remarks = gather(source.exports, table)
    found = [_pair(name, picture) for name, picture, where in pictures if where == split.name]
    if not found and not split.required:
        return SplitPairs(None)
    # Remarks on all splits are said once.
    said = remarks if split.name == source.card.splits[0].name else []
    left_out = {folder: files for e in source.exports for folder, files in e.left_out.items()}
    return SplitPairs(sorted(found, key=lambda pair: pair.name), said, left_out)


def gather(
    exports: tuple[Export, ...], table: Exports
) -> tuple[list[tuple[str, AnnotatedPicture, str]], list[str]]:
    """Return (name, picture, split) of all that is used, and remarks on what is not and why."""
    remarks = [remark for export in exports for remark in export.remarks]
    named = list(_named(exports))
    used = [(name, p) for name, p in named if table.empty or p.drawn or p.problem]
    if not used:
        said = "; ".join(remarks)
        where = named[0][1].source if named else ", ".join(table.sources)
        raise PspError(
            f"{where}: nothing is drawn on any of {len(named)} pictures"
            f"{f' ({said})' if said else ''}. Draw polygons or masks, and export again"
        )
    if len(used) < len(named):
        first = next(name for name, p in named if not (p.drawn or p.problem))
        remarks.append(
            f"left out, as nothing is drawn on them: {len(named) - len(used)} of {len(named)} "
            f"pictures ({first}). To train on them as background: --empty background"
        )
    return list(_split(used, table, remarks)), remarks


def split_names(exports: tuple[Export, ...], table: Exports) -> list[str]:
    """Return the names of the splits that the pictures are in: train, val and others, in order."""
    pictures, _ = gather(exports, table)
    names = {where for _, _, where in pictures}
    return [name for name in ("train", "val", "test") if name in names] + sorted(
        names - {"train", "val", "test"}
    )


def _named(exports: tuple[Export, ...]) -> Iterator[tuple[str, AnnotatedPicture]]:
    """Yield every picture with a name that no other has; a picture labeled twice has a problem."""
    counts = Counter(picture.name for export in exports for picture in export.pictures)
    several = any(count > 1 for count in counts.values())
    identity = _identities(exports)
    first: dict[str, str] = {}
    taken: Counter[str] = Counter()
    for number, export in enumerate(exports, 1):
        for picture in export.pictures:
            name = f"{number}/{picture.name}" if several and len(exports) > 1 else picture.name
            taken[name] += 1
            if taken[name] > 1:
                name = f"{name}~{taken[name]}"
            same = identity[picture.image] if picture.image else name
            other = first.setdefault(f"{same}#{picture.frame}", name) if picture.image else name
            if other != name and not picture.problem and not picture.embedded:
                problem = (
                    f"{picture.source}: {picture.image} is labeled twice, here and for '{other}'. "
                    "Leave one of them out"
                )
                picture = replace(picture, problem=problem)
            yield name, picture


def _identities(exports: tuple[Export, ...]) -> dict[Path, str]:
    """Return what two pictures have in common if they are the same, for each picture's file.

    That is the file itself; of several exports, which may have a copy each, also its content.
    """
    found = {p.image: os.path.realpath(p.image) for e in exports for p in e.pictures if p.image}
    if len(exports) < 2:
        return found
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in found:
        with contextlib.suppress(OSError):  # a picture that is gone is reported when it is read
            by_size[path.stat().st_size].append(path)
    for paths in by_size.values():
        for path in paths if len(paths) > 1 else ():
            with contextlib.suppress(OSError):
                found[path] = file_sha256(path)
    return found


def _split(
    named: list[tuple[str, AnnotatedPicture]], table: Exports, remarks: list[str]
) -> Iterator[tuple[str, AnnotatedPicture, str]]:
    """Yield (name, picture, split): the export's own split, or one drawn among the others."""
    stated = {picture.split for _, picture in named if picture.split}
    if "val" in stated:
        for name, picture in named:
            yield name, picture, picture.split or TRAIN
        return
    # Without a split to validate on, one is made of what has none, or of the training pictures.
    free = [(name, p) for name, p in named if p.split in ("", TRAIN)]
    trained = {label for label, index in table.labels.items() if index != IGNORE}
    candidates = [Candidate(name, _classes(p) & trained) for name, p in free]
    division = divide(candidates, table.val_fraction, table.group_by, table.seed)
    if table.val_fraction:
        remarks.extend(division.remarks)
    for name, picture in named:
        yield name, picture, division.splits.get(name, picture.split)


def _classes(picture: AnnotatedPicture) -> frozenset[str]:
    if isinstance(picture.drawn, MaskFile):
        return picture.seen or frozenset()
    return frozenset(shape.label for shape in picture.drawn)


def _pair(name: str, picture: AnnotatedPicture) -> Pair:
    label = picture.drawn.path if isinstance(picture.drawn, MaskFile) else picture.source
    image = picture.source if picture.embedded else picture.image
    if picture.problem or image is None:
        return Pair(name, picture.source, picture.source, drawn=picture)
    return Pair(name, image, label, drawn=picture)


LAYOUT = Layout("own photos with masks or annotations", root, pairs, own=True)

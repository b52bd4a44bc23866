"""All pictures of the exports as one set: each with a name of its own, and its split."""

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from psp.annotations.records import AnnotatedPicture, Export, MaskFile
from psp.data.card import IGNORE, Exports
from psp.errors import PspError
from psp.files import file_sha256
from psp.images.kinds import LeftOut
from psp.prepare.own.splits import TRAIN, Candidate, divide


@dataclass(frozen=True)
class Gathered:
    """(name, picture, split) of all that is used, and remarks on what is not used and why."""

    exports: tuple[Export, ...]
    pictures: tuple[tuple[str, AnnotatedPicture, str], ...]
    remarks: tuple[str, ...]
    twice: tuple[str, ...] = ()  # pictures that two exports label

    @property
    def left_out(self) -> dict[Path, LeftOut]:
        """The photos and videos that psp cannot read, by folder."""
        return {folder: files for e in self.exports for folder, files in e.left_out.items()}

    @property
    def split_names(self) -> list[str]:
        """The splits that the pictures are in: train, val, test, then others."""
        names = {where for _, _, where in self.pictures}
        known = [name for name in ("train", "val", "test") if name in names]
        return known + sorted(names - set(known))


def gather(
    exports: tuple[Export, ...], table: Exports, bad: frozenset[str] = frozenset()
) -> Gathered:
    """Name and divide the pictures of exports. Raises PspError if nothing is drawn on any.

    Where the split to validate on is drawn, pictures that are known to be bad, by their names or by
    their records, are not drawn: it would be smaller without them.
    """
    remarks = [remark for export in exports for remark in export.remarks]
    found = _named(exports, table.twice)
    named = found.pictures
    if found.twice and table.twice:
        remarks.append(
            f"labeled in two exports: {len(found.twice)} of the pictures ({found.twice[0]}); the "
            f"labels of the {table.twice} count (--twice)"
        )
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
    pictures = tuple(_split(used, table, bad, remarks))
    return Gathered(exports, pictures, tuple(remarks), found.twice)


@dataclass(frozen=True)
class _Named:
    """The pictures, each with a name that no other has, and what two exports label."""

    pictures: list[tuple[str, AnnotatedPicture]]
    twice: tuple[str, ...] = ()


def _named(exports: tuple[Export, ...], counts_twice: str) -> _Named:
    """Give every picture a name that no other has.

    A picture that is labeled twice has a problem; of two exports, the labels of one may count.
    """
    counts = Counter(picture.name for export in exports for picture in export.pictures)
    several = any(count > 1 for count in counts.values())
    identity = _identities(exports)
    entries: list[tuple[str, AnnotatedPicture]] = []
    first: dict[str, tuple[int, int]] = {}  # of each picture: its export, and its place in entries
    taken: Counter[str] = Counter()
    twice, dropped = [], set()
    for number, export in enumerate(exports, 1):
        for picture in export.pictures:
            name = f"{number}/{picture.name}" if several and len(exports) > 1 else picture.name
            taken[name] += 1
            if taken[name] > 1:
                name = f"{name}~{taken[name]}"
            here = number, len(entries)
            key = f"{identity[picture.image]}#{picture.frame}" if picture.image else f"#{name}"
            there = first.setdefault(key, here)
            entries.append((name, picture))
            if there == here or picture.problem or picture.embedded:
                continue
            other = entries[there[1]][0]
            if there[0] != number:
                twice.append(picture.wanted)
            if there[0] != number and counts_twice:
                dropped.add(there[1] if counts_twice == "last" else here[1])
                first[key] = here if counts_twice == "last" else there
                continue
            problem = (
                f"{picture.source}: {picture.image} is labeled twice, here and for '{other}'. "
                "Leave one of them out"
            )
            if there[0] != number:
                problem += ", or say whose labels count: --twice first or --twice last"
            entries[-1] = name, replace(picture, problem=problem)
    kept = [entry for position, entry in enumerate(entries) if position not in dropped]
    return _Named(kept, tuple(twice))


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
    named: list[tuple[str, AnnotatedPicture]],
    table: Exports,
    bad: frozenset[str],
    remarks: list[str],
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
    candidates = [
        Candidate(name, _classes(p) & trained)
        for name, p in free
        if not p.problem and name not in bad
    ]
    division = divide(candidates, table.val_fraction, table.group_by, table.seed)
    if table.val_fraction:
        remarks.extend(division.remarks)
    for name, picture in named:
        yield name, picture, division.splits.get(name, picture.split or TRAIN)


def _classes(picture: AnnotatedPicture) -> frozenset[str]:
    if isinstance(picture.drawn, MaskFile):
        return picture.seen or frozenset()
    return frozenset(shape.label for shape in picture.drawn)

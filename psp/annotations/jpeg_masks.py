"""What the colors of masks mean that were saved as JPEG, all of them or some."""

from collections.abc import Sequence
from pathlib import Path

from psp.annotations.class_names import Names, means_ignored
from psp.annotations.meaning import (
    MOST_CLASSES,
    PLAIN,
    Convention,
    Meaning,
    finished,
    in_space,
    interpret,
    is_gray,
    named_values,
    rgb,
    unnamed_values,
)
from psp.annotations.records import MaskFile
from psp.annotations.scan import Scan
from psp.annotations.snapping import find_colors, make_measure, refuse_far, rounded
from psp.errors import PspError
from psp.workers import cores, map_in_processes

_SNAP_NAMED = 12  # a JPEG's color is that of a named class up to this distance


def interpret_any(
    scans: Sequence[Scan], names: Names | None, convention: Convention = PLAIN
) -> Meaning:
    """Return what masks of any file type mean. Raises PspError where that cannot be said."""
    if any(scan.lossy for scan in scans):
        return interpret_jpegs(scans, names, convention)
    return interpret(scans, names, convention)


def interpret_jpegs(
    scans: Sequence[Scan], names: Names | None, convention: Convention = PLAIN
) -> Meaning:
    """Return what masks mean of which some are JPEGs: their colors snap to those of the others.

    Files with a `problem` are left out. Raises PspError where the colors do not cluster cleanly.
    """
    scans = [scan for scan in scans if not scan.problem]
    lossy = [scan for scan in scans if scan.lossy]
    named = names.colors if names else {}
    exact: set[int] = set()
    for scan in scans:
        if not scan.lossy:
            exact |= {in_space(scan, raw, "colors") for raw in scan.counts}
    known = [*named, *sorted(exact)]
    centers = []
    for color in find_colors(lossy):
        near = [
            k
            for k in known
            if max(abs(a - b) for a, b in zip(rgb(k), rgb(color), strict=True)) <= _SNAP_NAMED
        ]
        centers.append(near[0] if near else rounded(color))
    every = sorted({*centers, *exact})
    if len(every) > MOST_CLASSES:
        other = next(scan for scan in scans if not scan.lossy)
        raise PspError(f"{other.path}: {len(exact)} colors beside masks that are JPEGs: a photo?")
    if named and (strange := [color for color in every if color not in named]):
        assert names is not None
        raise PspError(
            f"{lossy[0].path}: color #{strange[0]:06x} is not in {names.path}. Correct that file"
        )
    moved, furthest, pixels = 0, 0, 0
    items = ((scan.path, 1 << 18) for scan in lossy)
    results = map_in_processes(make_measure, (centers,), items, cores() if len(lossy) > 48 else 1)
    used: dict[Path, frozenset[int]] = {}
    for scan, found in zip(lossy, results, strict=True):
        refuse_far(scan.path, found)
        used[scan.path] = found.colors
        moved, furthest = moved + found.moved, max(furthest, found.furthest)
        pixels += found.pixels
    if all(map(is_gray, every)) and not named:
        values, ignored, remarks = unnamed_values(
            [color & 255 for color in every], "values", convention.zero
        )
        if names:
            levels = {color & 255: 1 for color in every}
            listed = named_values(names, "values", [Scan(lossy[0].path, counts=levels)])
            values = {**values, **listed} if levels.keys() <= listed.keys() else values
        meant = {c: values[c & 255] for c in every if c & 255 in values}
    else:
        meant = dict(named) or {c: f"color_{c:06x}" for c in every}
        ignored, remarks = frozenset(), []
    if names and meant.keys() & (named.keys() or meant.keys()):
        remarks.append(f"class names from {names.path}")
    left_out = frozenset(
        c for c in {*every, *meant} if c & 255 in ignored or means_ignored(meant.get(c, ""))
    )
    shown = ", ".join(f"#{color:06x}" for color in sorted(centers)[:6])
    remarks.append(
        f"{len(lossy)} masks are JPEGs: {moved} of {pixels} pixels were moved to the nearest color "
        f"({shown}), by at most {furthest} levels"
    )
    snapping = {c: meant.get(c, "") for c in every}
    files = {}
    for scan in scans:
        if scan.lossy:
            files[scan.path] = MaskFile(scan.path, "colors", snapping, left_out, snap=True)
            continue
        table = {raw: in_space(scan, raw, "colors") for raw in scan.counts}
        used[scan.path] = frozenset(table.values())
        files[scan.path] = MaskFile(
            scan.path,
            scan.kind,
            {raw: meant[c] for raw, c in table.items() if c in meant},
            frozenset(raw for raw, c in table.items() if c in left_out),
        )
    colors = {} if all(map(is_gray, every)) else {n: rgb(c) for c, n in meant.items()}
    seen = {path: frozenset(meant[c] for c in found if c in meant) for path, found in used.items()}
    return finished(meant, left_out, files, seen, colors, remarks)

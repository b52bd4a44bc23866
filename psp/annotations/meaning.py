"""What the values of a set of masks mean: from counted values and named files to classes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from psp.annotations.class_names import Names, background_of, means_background, means_ignored
from psp.annotations.records import MaskFile
from psp.annotations.scan import Scan
from psp.errors import PspError

IGNORED_VALUE = 255
MOST_CLASSES = 255
_GRAY = 0x010101


@dataclass(frozen=True)
class Meaning:
    """The classes of a set of masks, in the order of their values, and each file's own table."""

    classes: tuple[str, ...]
    files: dict[Path, MaskFile]
    colors: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    background: str = ""
    seen: dict[Path, frozenset[str]] = field(default_factory=dict)  # the classes in each file
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Convention:
    """What a format says of its masks beside the names.

    `space` is "colors" where colors say the class even in files of palettes, "values" where values
    do, and "" where the masks show it. `void` are values or colors that are ignored without being
    named, and `zero` is the class of the value 0 without a name. `ignored` are named values that
    are ignored, too.
    """

    space: str = ""
    void: frozenset[int] = frozenset()
    zero: str = "class_0"
    ignored: frozenset[int] = frozenset()


PLAIN = Convention()


def interpret(
    scans: Sequence[Scan], names: Names | None, convention: Convention = PLAIN
) -> Meaning:
    """Return what the values of lossless masks mean. Raises PspError where that cannot be said.

    Files with a `problem` are left out.
    """
    readable = [scan for scan in scans if not scan.problem]
    if not readable:
        raise PspError(scans[0].problem)
    space = convention.space or _space(readable)
    total: Counter[int] = Counter()
    translated: dict[Path, dict[int, int]] = {}
    for scan in readable:
        translated[scan.path] = {raw: in_space(scan, raw, space) for raw in scan.counts}
        for raw, count in scan.counts.items():
            total[translated[scan.path][raw]] += count
    solid = {translated[scan.path].get(raw, -1) for scan in readable for raw in scan.solid}
    named = named_values(names, space, readable) if names else {}
    remarks = []
    if named:
        meant, ignored = named, frozenset(v for v, name in named.items() if means_ignored(name))
        if space == "values" and IGNORED_VALUE in total and IGNORED_VALUE not in named:
            ignored |= {IGNORED_VALUE}
        ignored |= (convention.void & total.keys() - named.keys()) | convention.ignored
        if strange := _strange(readable, translated, {*meant, *ignored}):
            _refuse_many(readable, total, solid, space)
            _refuse_strange(*strange, space, names, len(meant))
        assert names is not None
        remarks.append(f"class names from {names.path}")
    else:
        _refuse_many(readable, total, solid, space)
        meant, ignored, said = unnamed_values(sorted(total), space, convention.zero)
        remarks += said
        remarks += _about_objects(translated, meant)
        if names:
            remarks.append(f"{names.path} names no colors, and the masks hold colors: not used")
    remarks += _about_ignored(ignored, meant, total, space)
    remarks += _about_strays(total, solid, space)
    files = {
        scan.path: MaskFile(
            scan.path,
            scan.kind,
            {raw: meant[v] for raw, v in translated[scan.path].items() if v in meant},
            frozenset(raw for raw, v in translated[scan.path].items() if v in ignored),
        )
        for scan in readable
    }
    shown = _colors_of(meant, space, readable, names)
    seen = {path: frozenset(file.names.values()) for path, file in files.items()}
    return finished(meant, ignored, files, seen, shown, remarks)


def finished(
    meant: dict[int, str],
    ignored: frozenset[int],
    files: dict[Path, MaskFile],
    seen: dict[Path, frozenset[str]],
    colors: dict[str, tuple[int, int, int]],
    remarks: list[str],
) -> Meaning:
    classes = tuple(dict.fromkeys(meant.values()))
    left_out = frozenset(meant[value] for value in ignored if value in meant)
    background = background_of(classes)
    if not set(classes) - left_out:
        raise PspError("the masks' only class is one that is ignored. Correct the class names")
    return Meaning(classes, files, colors, left_out, background, seen, tuple(remarks))


def _space(scans: Sequence[Scan]) -> str:
    """Return whether masks are compared by their values or by their colors.

    Colors that are all gray are values that a program saved with three channels. Palettes that
    differ were made for each file: then their colors say what is what.
    """
    for scan in scans:
        if scan.kind == "colors" and any(not is_gray(color) for color in scan.counts):
            return "colors"
    palette: dict[int, int] = {}
    for scan in scans:
        for value, color in scan.palette.items():
            if palette.setdefault(value, color) != color:
                return "colors"
    return "values"


def is_gray(color: int) -> bool:
    return color == (color & 255) * _GRAY


def in_space(scan: Scan, raw: int, space: str) -> int:
    if space == "values":
        return raw & 255 if scan.kind == "colors" else raw
    if scan.kind == "colors":
        return raw
    if scan.palette:
        return scan.palette.get(raw, -1)
    return raw * _GRAY if raw < 256 else -1


def _shown(value: int, space: str) -> str:
    return f"color #{value:06x}" if space == "colors" else f"value {value}"


def named_values(names: Names, space: str, scans: Sequence[Scan]) -> dict[int, str]:
    """Return the names that a file gives to values or colors; {} if it cannot name them."""
    if space == "colors":
        return dict(names.colors)
    used = {in_space(scan, raw, space) for scan in scans for raw in scan.counts}
    if names.colors and not names.values:
        by_palette = {
            v: names.colors[c] for s in scans for v, c in s.palette.items() if c in names.colors
        }
        if all(scan.palette for scan in scans) and used - {IGNORED_VALUE} <= by_palette.keys():
            return by_palette
        grays = {v & 255: name for v, name in names.colors.items() if is_gray(v)}
        if used <= grays.keys():
            return grays
    listed = dict(sorted(names.by_value().items()))
    lines = names.lines
    if names.values or not lines:
        return listed
    if used == {0, 255} and len(lines) <= 2:
        pair = lines if len(lines) == 2 else ("background", lines[0])
        return {0: pair[0], 255: pair[1]}
    largest = max((value for value in used if value != IGNORED_VALUE), default=0)
    if largest == len(lines) and not any(map(means_background, lines)):
        return {0: "background", **dict(enumerate(lines, 1))}
    return listed


def _strange(
    scans: Sequence[Scan], translated: dict[Path, dict[int, int]], known: set[int]
) -> tuple[Scan, int] | None:
    """Return a mask with a value that no name is known for, if most masks have one.

    Single masks are told of when they are painted.
    """
    strange = [
        (scan, value)
        for scan in scans
        for value in translated[scan.path].values()
        if value not in known
    ]
    return strange[0] if len({scan.path for scan, _ in strange}) * 2 > len(scans) else None


def _refuse_strange(scan: Scan, value: int, space: str, names: Names | None, known: int) -> None:
    where = names.path if names else "the list of classes"
    raise PspError(
        f"{scan.path}: {_shown(value, space)} is not in {where}, which has {known} classes. "
        "Correct that file, or remove it"
    )


def _refuse_many(scans: Sequence[Scan], total: Counter[int], solid: set[int], space: str) -> None:
    """Raise PspError if there are more values than classes can be, with the likely cause."""
    most = max(scans, key=lambda scan: scan.distinct)
    blurred = [value for value in total if value not in solid]
    pixels = sum(total.values())
    thin = sum(total[value] for value in blurred)
    regions = len(total) - len(blurred)
    what = "colors" if space == "colors" else "values"
    if regions and len(blurred) > max(2, regions) and thin < 0.3 * pixels:
        raise PspError(
            f"{most.path}: {most.distinct} {what}; of {len(total)} in all masks, {len(blurred)} "
            f"stand only along borders ({thin} of {pixels} pixels): the masks were smoothed or "
            "resized with mixing. Export them without antialiasing, or resize them by nearest "
            "neighbor"
        )
    if len(total) <= MOST_CLASSES and most.distinct <= MOST_CLASSES:
        return
    if regions > 0.5 * len(total) or (space == "values" and max(total) > IGNORED_VALUE):
        cause = "Are they numbers of objects (instances)? Export a mask of classes"
    else:
        cause = "Are they photos, or the wrong folder?"
    raise PspError(
        f"{most.path}: {most.distinct} {what}, in all masks {max(len(total), most.distinct)}: more "
        f"than the {MOST_CLASSES} classes that a set can have. {cause}"
    )


def unnamed_values(
    used: list[int], space: str, zero: str
) -> tuple[dict[int, str], frozenset[int], list[str]]:
    """Return names for values that no file names, the ignored values, and what to say of it."""
    if space == "colors":
        return {color: f"color_{color:06x}" for color in used}, frozenset(), []
    if used == [0]:
        raise PspError("all masks hold the value 0 alone: nothing is drawn in them")
    if used == [0, IGNORED_VALUE] or used == [IGNORED_VALUE]:
        return {0: "background", 255: "foreground"}, frozenset(), []
    if set(used) <= {0, 1, IGNORED_VALUE}:
        ignored = frozenset({IGNORED_VALUE} & set(used))
        return {0: "background", 1: "foreground"}, ignored, []
    if IGNORED_VALUE in used and _evenly_spread(used):
        said = f"values {', '.join(map(str, used))} are spread evenly: 255 is a class, not ignored"
        return {value: f"class_{value}" for value in used}, frozenset(), [said]
    ignored = frozenset({IGNORED_VALUE} & set(used))
    named = {v: f"class_{v}" if v else zero for v in used if v not in ignored}
    return named, ignored, []


def _evenly_spread(used: Sequence[int]) -> bool:
    """Whether values are ids made visible: 0, 127, 255 or 0, 85, 170, 255."""
    steps = len(used) - 1
    return used[0] == 0 and all(abs(v - 255 * i / steps) <= 1 for i, v in enumerate(used))


def _about_ignored(
    ignored: frozenset[int], meant: dict[int, str], total: Counter[int], space: str
) -> list[str]:
    return [
        f"{_shown(value, space)}{f' ({meant[value]})' if value in meant else ''} is ignored: "
        f"{total[value]} pixels"
        for value in sorted(ignored)
        if total[value]
    ]


def _about_objects(translated: dict[Path, dict[int, int]], meant: dict[int, str]) -> list[str]:
    """Say if values without names look like numbers of objects: most are in one mask only."""
    files = Counter(value for table in translated.values() for value in set(table.values()))
    single = sum(files[value] == 1 for value in meant)
    if len(translated) < 4 or single < 8 or single < 0.7 * len(meant):
        return []
    return [
        f"{single} of {len(meant)} values are in one mask only: are they numbers of objects "
        "(instances)? Then export masks of classes"
    ]


def _about_strays(total: Counter[int], solid: set[int], space: str) -> list[str]:
    pixels = sum(total.values())
    strays = [v for v in sorted(total) if v not in solid and total[v] * 10_000 < pixels]
    if not strays:
        return []
    shown = ", ".join(f"{_shown(v, space)} ({total[v]} pixels)" for v in strays[:4])
    return [
        f"in single pixels only: {shown}{', …' if len(strays) > 4 else ''}: painted by mistake?"
    ]


def rgb(color: int) -> tuple[int, int, int]:
    return color >> 16, color >> 8 & 255, color & 255


def _colors_of(
    meant: dict[int, str], space: str, scans: Sequence[Scan], names: Names | None
) -> dict[str, tuple[int, int, int]]:
    """Return the classes' own colors: of the masks, of their palettes, or of the file of names."""
    if space == "colors":
        return {name: rgb(color) for color, name in meant.items()}
    found = {name: rgb(color) for color, name in names.colors.items()} if names else {}
    for scan in scans:
        for value, color in scan.palette.items():
            if value in meant and color != value * _GRAY:  # a palette of gray says nothing
                found.setdefault(meant[value], rgb(color))
    distinct = len(set(found.values())) == len(found)
    return {name: found[name] for name in meant.values() if name in found} if distinct else {}

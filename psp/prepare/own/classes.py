"""The classes of several exports as one list: joined by their names, never by likeness unasked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psp.annotations.doubt import Answer, DoubtError
from psp.annotations.records import Export, MaskFile
from psp.data.colors import Color
from psp.errors import PspError

BACKGROUND = "background"  # the class of undrawn pixels where no export has a name for it


@dataclass(frozen=True)
class ClassList:
    """Class names in the order of their ids; `meant` are the exports' names for each.

    `ignored` are the exports' names for what is not trained on; `background` is the class of
    undrawn pixels, "" if the exports leave nothing undrawn or undrawn pixels are ignored.
    """

    names: tuple[str, ...]
    meant: Mapping[str, tuple[str, ...]]
    ignored: tuple[str, ...]
    colors: Mapping[str, Color]
    background: str


def join_classes(
    exports: Sequence[Export], renames: Mapping[str, str], *, undrawn_is_class: bool
) -> ClassList:
    """Return the classes of all exports, in the order of the first, then of the next.

    `renames` maps an export's name to the class that it stands for. Where an export has undrawn
    pixels, they are a class, the first one, unless `undrawn_is_class` is False. Raises
    DoubtError for names that may be one class, and PspError for a rename of an unknown name.
    """
    seen = list(dict.fromkeys(name for export in exports for name in export.classes))
    for name in renames:
        if name not in seen:
            raise PspError(
                f"--rename {name}={renames[name]}: there is no class '{name}' (there are: "
                f"{', '.join(seen[:12])}{', …' if len(seen) > 12 else ''})"
            )
    ignored = dict.fromkeys(n for e in exports for n in e.classes if n in e.ignored)
    named = {export.background for export in exports if export.background}
    needs = undrawn_is_class and any(map(has_undrawn, exports))
    background = BACKGROUND if needs or named else ""
    if len(named) == 1:
        background = next(iter(named))
    meant: dict[str, list[str]] = {background: []} if background else {}
    for name in seen:
        if name in ignored and name not in renames:
            continue
        final = renames.get(name, background if name in named else name)
        meant.setdefault(final, []).append(name)
    _check_similar(meant, renames)
    colors: dict[str, Color] = {}
    for export in exports:
        for name, color in export.colors.items():
            final = renames.get(name, background if name in named else name)
            if final in meant and color not in colors.values():
                colors.setdefault(final, color)
    if background:
        colors.setdefault(background, (0, 0, 0)) if (0, 0, 0) not in colors.values() else None
    return ClassList(
        tuple(meant),
        {name: tuple(texts) for name, texts in meant.items()},
        tuple(name for name in ignored if name not in renames),
        colors,
        background if undrawn_is_class else "",
    )


def has_undrawn(export: Export) -> bool:
    """Whether some pixels of an export may have no class."""
    return not export.covered and any(
        not isinstance(p.drawn, MaskFile) or p.drawn.undrawn for p in export.pictures
    )


def _check_similar(names: Mapping[str, object], renames: Mapping[str, str]) -> None:
    settled = {*renames, *renames.values()}
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault("".join(c for c in name.casefold() if c.isalnum()) or name, []).append(
            name
        )
    unsettled = [
        tuple(group) for group in groups.values() if len(group) > 1 and not settled >= set(group)
    ]
    if unsettled:
        one, other = unsettled[0][:2]
        raise DoubtError(
            f"classes '{one}' and '{other}' may be one. Join them with --rename "
            f'"{other}={one}", or keep both with --rename "{one}={one},{other}={other}"',
            f"Are '{one}' and '{other}' one class?",
            [
                Answer(f"one class, '{one}'", {"rename": {one: one, other: one}}),
                Answer("two classes", {"rename": {one: one, other: other}}),
            ],
        )

"""A card for own data: what was found in the exports, as a TOML file that a person can edit."""

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from psp.annotations.doubt import Answer, DoubtError
from psp.annotations.records import FILE_ORDER, LARGE_FIRST, Export
from psp.data.card import Card
from psp.data.cardfile import shipped
from psp.data.cardreader import CardReader
from psp.data.colors import made_colors
from psp.errors import PspError
from psp.prepare.own.classes import ClassList, join_classes
from psp.prepare.own.gaps import about_gaps
from psp.prepare.own.gather import Gathered, gather
from psp.prepare.own.sources import Sources

SIDE = 1024  # the default long side: at it, a crop of 473 holds about a quarter of a 4:3 photo
# Folders with these names say nothing: their parent's name is taken.
_NAMELESS = {
    *("images", "image", "img", "imgs", "photos", "pictures", "masks", "mask", "labels", "label"),
    *("annotations", "annotation", "annotated", "export", "exports", "data", "dataset", "train"),
    *("jpegimages", "segmentationclass", "instances", "instances_default", "result", "default"),
}


@dataclass(frozen=True, kw_only=True)
class OwnOptions:
    """What the user decides on own data; None leaves it to what the exports say.

    `undrawn` is "background" (also if None) or "ignore", `empty` takes pictures without any shape
    as background, `paint` is an order of annotations/records.py, `rename` maps names of exports to
    classes. `max_side` 0 keeps the size of all pictures. `twice` is whose labels count of a picture
    that two exports label: "first", "last", or None for neither, which is an error of the picture.
    With `ask`, what has a default and is in doubt all the same is a DoubtError.
    """

    name: str | None = None
    undrawn: str | None = None
    empty: bool = False
    paint: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    val_fraction: float = 0.15
    group_by: str = "auto"
    max_side: int | None = None
    twice: str | None = None
    ask: bool = False


@dataclass(frozen=True)
class Draft:
    """What a card of own data will say, but for the paths that depend on where it is written."""

    sources: Sources
    options: OwnOptions
    classes: ClassList
    gathered: Gathered
    remarks: tuple[str, ...] = ()  # what the user may have meant otherwise

    def card_for(self, path: Path) -> tuple[Card, str]:
        """Return the card for the file `path`, and its TOML text."""
        splits = self.gathered.split_names
        text = _text(self.gathered.exports, self.sources, self.options, self.classes, path, splits)
        return CardReader(path).card(tomllib.loads(text)), text


def draft_card(
    exports: tuple[Export, ...], sources: Sources, options: OwnOptions, path: Path
) -> Draft:
    """Return the draft of the card of own data; errors name it as the file `path`.

    Raises DoubtError or PspError as `join_classes` does, DoubtError as `options.ask` says, and
    PspError if nothing was drawn.
    """
    classes = join_classes(exports, options.rename, undrawn_is_class=options.undrawn != "ignore")
    if not classes.names:
        problems = (picture.problem for export in exports for picture in export.pictures)
        problem = next(filter(None, problems), "")
        if problem:
            raise PspError(f"{problem.rstrip('.')}. No other picture has anything drawn on it")
        given = ", ".join(map(str, sources.paths))
        said = "; ".join(remark for export in exports for remark in export.remarks)
        raise PspError(
            f"{given}: no class is drawn on any picture, so there is nothing to learn"
            f"{f' ({said})' if said else ''}"
        )
    text = _text(exports, sources, options, classes, path, splits=())
    table = CardReader(path).card(tomllib.loads(text)).exports
    assert table is not None
    gathered = gather(exports, table)
    gaps = ""
    if options.undrawn is None and not any(export.background for export in exports):
        gaps = about_gaps(exports)
    if options.ask:
        if gathered.twice and not options.twice:
            raise _whose_labels(gathered.twice, sources)
        if gaps:
            raise _undrawn_doubt(gaps)
    return Draft(sources, options, classes, gathered, (gaps,) if gaps else ())


def _whose_labels(twice: Sequence[str], sources: Sources) -> DoubtError:
    count = f"{len(twice)} picture{'' if len(twice) == 1 else 's'} ({twice[0]})"
    places = {"first": sources.paths[0], "last": sources.paths[-1]}
    return DoubtError(
        f"{count}: labeled in two exports. Say whose labels count: --twice first or --twice last",
        f"{count}: labeled in two exports. Whose labels count?",
        [Answer(f"the {key}: {path}", {"twice": key}) for key, path in places.items()],
    )


def _undrawn_doubt(gaps: str) -> DoubtError:
    return DoubtError(
        gaps,
        f"{gaps.partition(':')[0]}. What are they?",
        [
            Answer("a class, 'background'", {"undrawn": "background"}),
            Answer("gaps between shapes: not trained on and not scored", {"undrawn": "ignore"}),
        ],
    )


def default_name(paths: Sequence[Path]) -> str:
    """Return a card's name for these sources: that of the first folder or file that says a name."""
    first = Path(os.path.abspath(paths[0]))
    for candidate in (first, *first.parents):
        stem = candidate.stem if candidate == first and first.is_file() else candidate.name
        name = re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_")
        if name and name[0].isalnum() and name not in _NAMELESS:
            return f"{name}-own" if name in shipped() else name
    return "own"


def _text(
    exports: Sequence[Export],
    sources: Sources,
    options: OwnOptions,
    classes: ClassList,
    path: Path,
    splits: Sequence[str],
) -> str:
    made = made_colors(set(classes.colors.values()))
    lines = [
        f"# Made by psp prepare from {', '.join(export.format for export in exports)}.",
        "# Edit it and run again: psp prepare " + path.name,
        f"name = {_quoted(options.name or default_name(sources.paths))}",
        'layout = "annotated"',
        'labels = "names"',
        "classes = [",
    ]
    for name in classes.names:
        color = "#{:02x}{:02x}{:02x}".format(*(classes.colors.get(name) or next(made)))
        meant = ", ".join(map(_quoted, classes.meant[name]))
        lines.append(f'    {{ name = {_quoted(name)}, color = "{color}", from = [{meant}] }},')
    lines.append("]")
    if classes.ignored:
        lines.append(f"ignore_from = [{', '.join(map(_quoted, classes.ignored))}]")
    lines += ["", "[splits]", *(f"{name} = {{}}" for name in splits or ("train",))]
    lines += ["", "[exports]", f"sources = [{', '.join(_near(p, path) for p in sources.paths)}]"]
    if sources.images:
        lines.append(f"images = {_near(sources.images, path)}")
    if sources.video:
        lines.append(f"video = {_near(sources.video, path)}")
    if sources.masks:
        lines.append(f"masks = {_quoted(sources.masks)}")
    if options.twice:
        lines.append(f'twice = "{options.twice}"  # whose labels count where two exports have some')
    if sources.format:
        lines.append(f"format = {_quoted(sources.format)}")
    undrawn = _quoted(classes.background) if classes.background else '"ignore"'
    lines.append(f"undrawn = {undrawn}  # what pixels are that no shape covers")
    lines.append(f'empty = "{"background" if options.empty else "leave-out"}"  # without any shape')
    order = options.paint or (
        LARGE_FIRST if all(e.order == LARGE_FIRST for e in exports) else FILE_ORDER
    )
    lines.append(f'order = "{order}"  # of painting: what is later lies on top')
    lines.append(f"val_fraction = {options.val_fraction}  # where the exports have no val split")
    lines.append(f"group_by = {_quoted(options.group_by)}")
    side = SIDE if options.max_side is None else options.max_side
    if side:
        lines.append(f"max_side = {side}  # longer pictures are shrunk; without it none is")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _near(source: Path, card: Path) -> str:
    """Return a path as a card has it: from the card's folder, if it is not far from it."""
    full = os.path.abspath(source)
    relative = os.path.relpath(full, os.path.abspath(card.parent))
    return _quoted(full if relative.startswith(f"..{os.sep}..{os.sep}..") else relative)

"""What `psp prepare` and `psp cards new` share: whether own data are meant, and their options."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from psp.cli.options import one_of
from psp.errors import PspError, nearest

if TYPE_CHECKING:
    from psp.annotations.doubt import Answer, DoubtError
    from psp.prepare.own.card import OwnOptions
    from psp.prepare.own.sources import Sources

OWN = "Own photos and exports"
Result = TypeVar("Result")

MaxSide = Annotated[
    str | None,
    typer.Option(
        help="Shrink larger pictures to a long side of N pixels. Default: none for a card; 1024 "
        "for your own photos.",
        metavar="N|none",
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        help="The pictures' folder, if they lie apart.", metavar="DIR", rich_help_panel=OWN
    ),
]
Video = Annotated[
    Path | None,
    typer.Option(help="The clip that tracks were drawn on.", metavar="FILE", rich_help_panel=OWN),
]
Name = Annotated[
    str | None,
    typer.Option(
        help="The new card's name. Default: after the first folder or file.",
        metavar="NAME",
        rich_help_panel=OWN,
    ),
]
FormatName = Annotated[
    str,
    typer.Option("--format", help="Read it as this format, if several fit.", rich_help_panel=OWN),
]
Masks = Annotated[
    str,
    typer.Option(
        help="Which files are the masks, if there are two kinds: 'labels/*.png'.",
        metavar="FILES",
        rich_help_panel=OWN,
    ),
]
Twice = Annotated[
    str | None,
    typer.Option(
        help="Whose labels count of a picture that two exports label: first or last.",
        metavar="first|last",
        rich_help_panel=OWN,
    ),
]
Undrawn = Annotated[
    str | None,
    typer.Option(
        help="Pixels without a shape: background (a class; the default) or ignore.",
        metavar="background|ignore",
        rich_help_panel=OWN,
    ),
]
Empty = Annotated[
    str,
    typer.Option(
        help="Pictures without any shape: leave-out, or background to train on them.",
        rich_help_panel=OWN,
    ),
]
Paint = Annotated[
    str | None,
    typer.Option(
        help="Which shape lies on top: the last one (file-order) or the smallest (large-first). "
        "Default: the tool's own rule.",
        rich_help_panel=OWN,
    ),
]
Rename = Annotated[
    str,
    typer.Option(
        help="Give classes other names, or join them: moss=Moss,soil=bare.",
        metavar="OLD=NEW,…",
        rich_help_panel=OWN,
    ),
]
ValFraction = Annotated[
    float,
    typer.Option(
        help="Share of the pictures to validate on, if there is no val split.",
        min=0,
        max=0.9,
        rich_help_panel=OWN,
    ),
]
GroupBy = Annotated[
    str,
    typer.Option(
        help="Pictures that stay in one split: auto (frames of a sequence), none, or a regular "
        "expression on names.",
        rich_help_panel=OWN,
    ),
]


def own_options(
    name: str | None,
    undrawn: str | None,
    empty: str,
    paint: str | None,
    rename: str,
    val_fraction: float,
    group_by: str,
    max_side: int | None,
    twice: str | None,
) -> "OwnOptions":
    """Return the options for own data. Raises PspError for a value that is none of the choices."""
    from psp.data.cardexports import ORDERS, TWICE
    from psp.prepare.own.card import OwnOptions

    if paint is not None:
        one_of("--paint", paint, ORDERS)
    if twice is not None:
        one_of("--twice", twice, TWICE)
    if undrawn is not None:
        one_of("--undrawn", undrawn, ("background", "ignore"))
    return OwnOptions(
        name=name,
        undrawn=undrawn,
        empty=one_of("--empty", empty, ("leave-out", "background")) == "background",
        paint=paint,
        rename=_renames(rename),
        val_fraction=val_fraction,
        group_by=group_by,
        max_side=max_side,
        twice=twice,
        ask=_is_terminal(),
    )


def _renames(text: str) -> dict[str, str]:
    """Return old name → new name, of a text such as "moss=Moss,soil=bare"."""
    renames = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        old, sign, new = (side.strip() for side in part.partition("="))
        if not (old and sign and new):
            raise PspError(f"--rename {text}: must be OLD=NEW, several with commas between them.")
        renames[old] = new
    return renames


def max_side_of(text: str | None) -> int | None:
    """Return the value of --max-side: None if not given, 0 for "none". Raises PspError."""
    if text is None:
        return None
    if text == "none":
        return 0
    if not text.isdecimal() or int(text) < 1:
        raise PspError(f"--max-side {text}: must be a number of pixels, or none.")
    return int(text)


def own_sources(
    given: Sequence[str], images: Path | None, video: Path | None, format_name: str, masks: str
) -> "Sources | None":
    """Return the sources if the arguments are own data: files or folders, but no card.

    What exists wins over a card's name, but the name of a card before a folder means the card.
    """
    from psp.data.cardfile import shipped
    from psp.prepare.own.sources import Sources

    first = Path(given[0])
    if not first.exists() and first.suffix != ".toml" and given[0] not in shipped():
        raise PspError(
            f"{given[0]}: no such file or folder, and no card of that name."
            f"{nearest(given[0], shipped())} psp cards lists them"
        )
    places = {"images": images, "video": video, "format": format_name, "masks": masks}
    if first.suffix == ".toml" or not first.exists():
        if apart := next((key for key, value in places.items() if value), None):
            raise _beside_card(given[0], apart)
        return None
    if len(given) == 2 and given[0] in shipped() and Path(given[1]).is_dir() and first.is_dir():
        if _is_download(given[0], Path(given[1])):
            return None
        raise PspError(
            f"{given[0]}: a folder here, and the name of a card. For the folder, write "
            f"./{given[0]}; for the card, run psp prepare from another folder"
        )
    paths = tuple(map(Path, given))
    return Sources(paths=paths, images=images, video=video, format=format_name, masks=masks)


def _is_download(card: str, folder: Path) -> bool:
    """Whether a folder holds what a shipped card reads: its download, or the folders it names."""
    from psp.data.cardfile import find_card
    from psp.prepare.layouts.registry import find_layout

    found = find_card(card)
    layout = find_layout(found)
    if found.folders is not None:
        return (folder / found.folders.images.partition("{split}")[0]).is_dir()
    return not layout.own and layout.root(folder) is not None


def refuse_with_card(card: str, given: "OwnOptions") -> None:
    """Raise PspError for an option of own data beside a card, which has its own answer to it."""
    usual = type(given)(max_side=given.max_side, ask=given.ask)
    for key, value in vars(given).items():
        if value != getattr(usual, key):
            raise _beside_card(card, key)


def _beside_card(card: str, key: str) -> PspError:
    option = f"--{key.replace('_', '-')}"
    return PspError(
        f"{option} is for own photos and exports without a card, and {card} is a card. Leave "
        f"{option} out, or change what the card says"
    )


def settled(
    given: "Sources", options: "OwnOptions", work: Callable[["Sources", "OwnOptions"], Result]
) -> Result:
    """Return work(given, options); on a terminal, ask what is in doubt, and go on."""
    from psp.annotations.doubt import DoubtError

    while True:
        try:
            return work(given, options)
        except DoubtError as doubt:
            if not _is_terminal():
                raise
            chosen = dict(_asked(doubt).settings)
        if "rename" in chosen:
            chosen["rename"] = {**options.rename, **chosen["rename"]}
        known = {key: value for key, value in chosen.items() if hasattr(given, key)}
        given = replace(given, **known)
        options = replace(options, **{k: v for k, v in chosen.items() if k not in known})


def _is_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _asked(doubt: "DoubtError") -> "Answer":
    """Show a question with its answers; return the one that is chosen."""
    from psp.cli.console import say

    say(doubt.question)
    for number, answer in enumerate(doubt.answers, 1):
        say(f"  {number}  {answer.text}")
    while True:
        text = typer.prompt("Which?", default="1", err=True).strip()
        if text.isdecimal() and 1 <= int(text) <= len(doubt.answers):
            return doubt.answers[int(text) - 1]

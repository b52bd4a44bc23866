"""psp cards: the data sets that psp knows."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli import own
from psp.cli.options import Debug, Json, Quiet, ShowGroup, card_named
from psp.errors import PspError

if TYPE_CHECKING:
    from psp.prepare.own.card import OwnOptions
    from psp.prepare.own.sources import Sources

cards_app = typer.Typer(
    cls=ShowGroup, help="List the data sets that psp knows, or show one: psp cards show voc2012"
)


@cards_app.callback(invoke_without_command=True)
def cards_command(ctx: typer.Context, as_json: Json = False, debug: Debug = False) -> None:
    """List the data sets that psp knows: psp cards"""
    if ctx.invoked_subcommand is not None:
        return
    from psp.data.cardfile import read_card, shipped

    shipped_cards = [read_card(path) for path in shipped().values()]
    if as_json:
        print(
            json.dumps([json.loads(card.to_json()) for card in shipped_cards], ensure_ascii=False)
        )
        return
    from psp.cli.tables.data import show_cards

    show_cards(shipped_cards)


@cards_app.command("show")
def cards_show_command(
    name: Annotated[
        str, typer.Argument(help="A shipped card's name, a .toml file, or a folder of shards.")
    ],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show a data set's origin, classes, splits and recipes: psp cards show voc2012"""
    card = card_named(name)
    if as_json:
        print(card.to_json())
        return
    from psp.cli.tables.data import show_card

    show_card(card)


@cards_app.command("new")
def cards_new_command(
    sources: Annotated[
        list[str],
        typer.Argument(help="PHOTOS MASKS, or exports of labeling tools.", metavar="SOURCES…"),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The card. Default: NAME.toml.")
    ] = None,
    max_side: own.MaxSide = None,
    images: own.Images = None,
    video: own.Video = None,
    name: own.Name = None,
    format_name: own.FormatName = "",
    masks: own.Masks = "",
    undrawn: own.Undrawn = None,
    empty: own.Empty = "leave-out",
    paint: own.Paint = None,
    rename: own.Rename = "",
    val_fraction: own.ValFraction = 0.15,
    group_by: own.GroupBy = "auto",
    twice: own.Twice = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a card of your own data, and stop there: psp cards new photos/ masks/"""
    from psp.cli.console import listening, say
    from psp.prepare.own.card import default_name
    from psp.prepare.own.pipeline import new_card

    given = own.own_sources(sources, images, video, format_name, masks)
    if given is None:
        raise PspError(f"{sources[0]}: no such file or folder of your own.")
    side = own.max_side_of(max_side)
    choices = (name, undrawn, empty, paint, rename, val_fraction, group_by, side, twice)
    options = own.own_options(*choices)
    path = out or Path(f"{name or default_name(given.paths)}.toml")

    def work(given: "Sources", options: "OwnOptions") -> None:
        with listening("reading", quiet) as report:
            new_card(given, options, path, report)

    own.settled(given, options, work)
    say(f"{path}: edit it, then: psp prepare {path}")


@cards_app.command("formats")
def cards_formats_command(as_json: Json = False, debug: Debug = False) -> None:
    """List the labeling tools' formats that psp prepare reads: psp cards formats"""
    from psp.annotations.registry import titles

    if as_json:
        print(json.dumps(titles(), ensure_ascii=False))
        return
    for name, title in titles().items():
        print(f"{name:24}{title}")

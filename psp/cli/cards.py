"""psp cards: the data sets that psp knows."""

import json
from typing import Annotated

import typer

from psp.cli.options import Debug, Json, ShowGroup, card_named

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

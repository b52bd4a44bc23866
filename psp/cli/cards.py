"""psp cards: the data sets psp knows."""

import json
from typing import Annotated

import typer

from psp.cli.options import Debug, Json, Shown, card_named

cards_app = typer.Typer(
    cls=Shown, help="List the shipped data set cards, or show one: psp cards show voc2012"
)


@cards_app.callback(invoke_without_command=True)
def cards(ctx: typer.Context, as_json: Json = False, debug: Debug = False) -> None:
    """List the shipped data set cards: psp cards"""
    if ctx.invoked_subcommand is not None:
        return
    from psp.data.cardfile import read_card, shipped

    found = [read_card(path) for path in shipped().values()]
    if as_json:
        print(json.dumps([json.loads(card.to_json()) for card in found], ensure_ascii=False))
        return
    from psp.cli.tables import show_cards

    show_cards(found)


@cards_app.command("show")
def cards_show(
    name: Annotated[str, typer.Argument(help="A shipped card's name, a .toml file, or shards.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show a card's classes, splits and recipes: psp cards show voc2012"""
    card = card_named(name)
    if as_json:
        print(card.to_json())
        return
    from psp.cli.tables import show_card

    show_card(card)

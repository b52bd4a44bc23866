"""psp recipe: what a training will do, and whose numbers these are."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.options import Debug, Json, card_named

if TYPE_CHECKING:
    from psp.data.card import Card
    from psp.settings.sources import Setting

recipe_app = typer.Typer(
    help="Show a recipe, or what differs between two: psp recipe show voc2012",
    no_args_is_help=True,
)
Data = Annotated[
    str,
    typer.Argument(help="A card's name, a .toml file, or a folder of shards; :RECIPE may follow."),
]


@recipe_app.command("show")
def show(
    data: Data,
    recipe: Annotated[
        str | None, typer.Option(help="One of its recipes; default: the first.", metavar="NAME")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show every setting of a recipe with its source: psp recipe show voc2012 --recipe semseg"""
    data, named = _parted(data)
    card = card_named(data)
    name, settings = _explained(card, recipe or named)
    if as_json:
        rows = [{"setting": s.name, "value": s.value, "from": s.source} for s in settings]
        print(json.dumps({"card": card.name, "recipe": name, "settings": rows}))
        return
    from psp.cli.tables import show_recipe

    show_recipe(f"{card.name}, recipe {name}", card.sources.get(name, ""), settings)


@recipe_app.command("diff")
def diff(
    one: Annotated[str, typer.Argument(help="DATA, or DATA:RECIPE.", metavar="A")],
    two: Annotated[str, typer.Argument(help="DATA:RECIPE.", metavar="B")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what differs between two recipes: psp recipe diff voc2012 voc2012:semseg"""
    titles, columns = [], []
    for text in (one, two):
        data, recipe = _parted(text)
        card = card_named(data)
        name, settings = _explained(card, recipe)
        titles.append(f"{card.name}:{name}")
        columns.append(settings)
    pairs = [(a, b) for a, b in zip(*columns, strict=True) if a.value != b.value]
    if as_json:
        print(json.dumps({a.name: [a.value, b.value] for a, b in pairs}))
        return
    from psp.cli.tables import show_recipe_difference

    show_recipe_difference((titles[0], titles[1]), pairs)


def _parted(text: str) -> tuple[str, str | None]:
    """Part DATA:RECIPE; a folder may have a colon in its name."""
    data, colon, recipe = text.rpartition(":")
    return (data, recipe) if colon and not Path(text).is_dir() else (text, None)


def _explained(card: "Card", recipe: str | None) -> tuple[str, list["Setting"]]:
    from psp.settings.sources import explain

    name = card.recipe_name if recipe in (None, "default") else str(recipe)
    return name, explain(card.recipe_named(name), f"recipe {name}")

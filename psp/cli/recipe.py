"""psp recipe: the settings a training will use, and where each value comes from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.options import Debug, Json, card_named, shards_named

if TYPE_CHECKING:
    from psp.data.card import Card
    from psp.settings.sources import ResolvedSetting

recipe_app = typer.Typer(
    help="Show a recipe, or compare two: psp recipe show voc2012",
    no_args_is_help=True,
)
Data = Annotated[
    str,
    typer.Argument(help="A card's name, a .toml file, or a folder of shards; may end in :RECIPE."),
]


@recipe_app.command("show")
def recipe_show_command(
    data: Data,
    recipe: Annotated[
        str | None, typer.Option(help="Which of its recipes. Default: the first.", metavar="NAME")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show every setting and where its value comes from: psp recipe show voc2012"""
    data, suffix = _split_recipe(data)
    card = card_named(data)
    name, settings = _explain(data, card, recipe or suffix)
    if as_json:
        rows = [{"setting": s.name, "value": s.value, "from": s.source} for s in settings]
        print(json.dumps({"card": card.name, "recipe": name, "settings": rows}))
        return
    from psp.cli.tables.recipes import show_recipe

    show_recipe(f"{card.name}, recipe {name}", card.sources.get(name, ""), settings)


@recipe_app.command("diff")
def recipe_diff_command(
    one: Annotated[str, typer.Argument(help="DATA or DATA:RECIPE.", metavar="A")],
    two: Annotated[str, typer.Argument(help="DATA or DATA:RECIPE.", metavar="B")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the settings in which two recipes differ: psp recipe diff voc2012 voc2012:semseg"""
    titles, columns = [], []  # of A and B
    for text in (one, two):
        data, recipe = _split_recipe(text)
        card = card_named(data)
        name, settings = _explain(data, card, recipe)
        titles.append(f"{card.name}:{name}")
        columns.append(settings)
    pairs = [(a, b) for a, b in zip(*columns, strict=True) if a.value != b.value]
    if as_json:
        print(json.dumps({a.name: [a.value, b.value] for a, b in pairs}))
        return
    from psp.cli.tables.recipes import show_recipe_difference

    show_recipe_difference((titles[0], titles[1]), pairs)


def _split_recipe(text: str) -> tuple[str, str | None]:
    """Split DATA:RECIPE. A folder's own name may contain a colon."""
    data, colon, recipe = text.rpartition(":")
    return (data, recipe) if colon and not Path(text).is_dir() else (text, None)


def _explain(data: str, card: "Card", recipe: str | None) -> tuple[str, list["ResolvedSetting"]]:
    """Return the recipe's name, and every setting that a training would have by it."""
    from psp.settings.sources import explain

    if not (card.recipe or card.recipes) and recipe in (None, "default"):
        return "from the data", _found(data)
    name = card.recipe_name if recipe in (None, "default") else str(recipe)
    return name, explain(card.recipe_named(name), f"recipe {name}")


def _found(data: str) -> list["ResolvedSetting"]:
    """Return the settings for a card without a recipe: those that a training on its shards finds.

    Of a card alone it is only said which these are.
    """
    from psp.settings.sources import FOUND, explain

    folder = shards_named(data)
    if folder is None:
        said = "chosen from the shards: psp recipe show SHARDS"
        values, sources = {}, dict.fromkeys(FOUND, said)
    else:
        from psp.device import pick_device
        from psp.train.from_data import find_recipe

        found = find_recipe(folder, None, None, pick_device("auto"), ranks=1)
        values, sources = found.values, found.sources
    return [
        replace(setting, value=values.get(setting.name), source=sources[setting.name], given=True)
        if setting.name in sources
        else setting
        for setting in explain(values, "")
    ]

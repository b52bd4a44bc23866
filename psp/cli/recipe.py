"""psp recipe: the settings a training will use, and where each value comes from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.options import Debug, Json, card_named, shards_named
from psp.errors import PspError

if TYPE_CHECKING:
    from psp.data.card import Card
    from psp.settings.sources import ResolvedSetting

recipe_app = typer.Typer(
    help="Show a recipe, or compare several: psp recipe show voc2012",
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
    if _is_config(data):
        raise PspError(f"{data}: a configuration. To see the recipe in it: psp import {data}")
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
    recipes: Annotated[
        list[str],
        typer.Argument(
            help="DATA or DATA:RECIPE, two or more (RECIPE alone: of the DATA before); or one "
            "DATA: all of its recipes.",
            metavar="RECIPE…",
        ),
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="Show the settings in which they agree, too.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the settings in which recipes differ: psp recipe diff voc2012

    A column for each recipe: of one card, all that it has, or those that are named, such as
    psp recipe diff voc2012:semseg mmseg ade20k:mmseg. A configuration of mmsegmentation or semseg
    is a recipe, too: psp recipe diff ade20k:mmseg config.py
    """
    titles, columns = _columns(recipes)
    rows = [
        (cells[0].name, [cell.value for cell in cells])
        for cells in zip(*columns, strict=True)
        if everything or any(cell.value != cells[0].value for cell in cells)
    ]
    if as_json:
        print(json.dumps({"recipes": titles, "settings": dict(rows)}))
        return
    from psp.cli.tables.recipes import show_recipe_differences

    show_recipe_differences(titles, rows)


def _columns(texts: list[str]) -> tuple[list[str], list[list["ResolvedSetting"]]]:
    """Return the recipes' titles and settings; of all recipes of a card where it alone is named."""
    titles, columns = [], []
    card, data = None, ""
    for text in texts:
        if _is_config(text):
            titles.append(Path(text).name)
            columns.append(_configured(Path(text)))
            continue
        if card is not None and text in (card.recipe_name, *card.recipes):
            recipe: str | None = text  # of the data before
        else:
            data, recipe = _split_recipe(text)
            card = card_named(data)
        several = len(texts) == 1 and recipe is None and len(card.recipes) > 0
        for wanted in [card.recipe_name, *card.recipes] if several else [recipe]:
            name, settings = _explain(data, card, wanted)
            titles.append(f"{card.name}:{name}")
            columns.append(settings)
    if len(columns) < 2:
        raise PspError(
            f"{texts[0]}: one recipe, and nothing to compare it with. Name another, as DATA:RECIPE"
        )
    return titles, columns


def _is_config(text: str) -> bool:
    """Whether an argument is the file of another program's configuration."""
    from psp.zoo.configs.registry import is_config

    return is_config(Path(text)) and Path(text).is_file()


def _configured(path: Path) -> list["ResolvedSetting"]:
    """Return the settings that a configuration describes; what it does not say has its default."""
    from psp.settings.sources import explain
    from psp.zoo.configs.registry import find_config

    return explain(find_config(path).settings, path.name)


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

"""Recipes as tables: every setting with its source, and the differences of two recipes."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from psp.cli.console import escape, out
from psp.cli.tables.narrow import show_table
from psp.settings.section import show
from psp.settings.sources import ResolvedSetting


def show_recipe(title: str, source: str, settings: Sequence[ResolvedSetting]) -> None:
    """Print every setting of a recipe and where its value comes from."""
    out.print(Text(title, "bold") + Text(f"  {source}" if source else "", ""))
    out.print()
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for setting in settings:
        style = "" if setting.given else "dim"
        table.add_row(setting.name, Text(show(setting.value)), Text(setting.source, style))
    show_table(table)


def show_recipe_differences(titles: Sequence[str], rows: Sequence[tuple[str, list[Any]]]) -> None:
    """Print recipes side by side: settings by name, each with its value in every recipe."""
    if not rows:
        out.print(f"{escape(' and '.join(titles))} are the same.")
        return
    table = Table("setting", *map(escape, titles), box=None, pad_edge=False)
    for name, values in rows:
        table.add_row(name, *(Text(show(value)) for value in values))
    show_table(table)

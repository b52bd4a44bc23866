"""Cards and shards as tables: what a data set is, and what a folder of shards holds."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from psp.cli.console import number_table, out
from psp.cli.tables.narrow import show_table
from psp.data.card import Card, Origin, SplitEntry
from psp.settings.section import show

if TYPE_CHECKING:  # importing it loads numpy, which cards do not need
    from psp.data.statistics import SplitStatistics, Statistics


def show_cards(cards: Sequence[Card]) -> None:
    """Print the shipped cards in a table."""
    table = Table("name", "data set", box=None, pad_edge=False)
    table.add_column("classes", justify="right")
    table.add_column("splits (images)")
    for card in cards:
        splits = ", ".join(f"{split.name} {split.images or '?'}" for split in card.splits)
        table.add_row(card.name, Text(card.title), str(len(card.classes)), splits)
    show_table(table)


def show_card(card: Card) -> None:
    """Print a card: where to get the data set, its classes with their colors, splits, recipes."""
    out.print(Text(card.name, "bold") + Text(f"  {card.title}  (layout {card.layout})", ""))
    _show_origin(card.origin)
    out.print()
    table = Table(box=None, pad_edge=False)
    table.add_column("id", justify="right")
    for title in ("color", "class", "raw values"):
        table.add_column(title)
    for index, entry in enumerate(card.classes):
        code = "#{:02x}{:02x}{:02x}".format(*entry.color)
        chip = Text("  ", style=f"on {code}") + Text(f" {code}", style="dim")
        table.add_row(str(index), chip, Text(entry.name), _raw_values(card, entry.raw))
    if card.ignore_from:
        raw = _raw_values(card, card.ignore_from)
        table.add_row("255", "", Text("ignored", style="dim"), raw)
    show_table(table)
    out.print()
    for split in card.splits:
        out.print(Text(_describe_split(split)))
    for name, recipe in {card.recipe_name: card.recipe, **card.recipes}.items():
        settings = ", ".join(f"{key}={show(value)}" for key, value in recipe.items())
        out.print(Text(f"recipe {name}: {settings or 'the defaults'}"))
    out.print(Text(f"more: psp recipe show {card.name}", "dim"))


def show_source(statistics: "Statistics") -> None:
    """Print which data set the shards hold, where it comes from, and how pictures are stored."""
    out.print(Text(str(statistics.folder), "bold") + Text(f"  {statistics.card.title}", ""))
    _show_origin(statistics.card.origin)
    conversion = dict(statistics.conversion)
    stored = "decoded arrays" if conversion["store"] == "raw" else "the original files' bytes"
    if conversion["reencode"]:
        stored += f"; lossless formats re-encoded as JPEG {conversion['reencode']} (lossy)"
    if conversion["max_side"]:
        stored += f"; larger ones shrunk to a long side of {conversion['max_side']} pixels"
    if conversion.get("heif") and not conversion["reencode"] and conversion["store"] != "raw":
        stored += f"; HEIC and AVIF as {conversion['heif'].upper()}"
    out.print(Text(f"pictures: {stored}"))
    if conversion["store"] != "raw":
        codec = conversion.get("labels", {"codec": "PNG", "version": ""})
        out.print(Text(f"labels: {codec['codec']} {codec['version']}".rstrip()))
    out.print()


def show_statistics(statistics: "Statistics") -> None:
    """Print the splits and their sizes, and the share of pixels and the pictures of each class."""
    table = number_table(
        "split", "images", "labels", "shards", "MB", "smallest", "median", "largest", "left out"
    )
    for split in statistics.splits:
        table.add_row(
            split.name,
            f"{split.images:,}",
            "yes" if split.labeled else "no",
            str(split.shards),
            f"{split.bytes / 1e6:.1f}",
            str(split.smallest),
            str(split.median),
            str(split.largest),
            str(len(split.skipped) or ""),
        )
    show_table(table)
    labeled = [split for split in statistics.splits if split.labeled]
    if not labeled:
        return
    out.print()
    table = number_table("class")
    for split in labeled:
        table.add_column(f"{split.name} %", justify="right")
        table.add_column("images", justify="right")
    for index, name in enumerate(statistics.card.names):
        table.add_row(Text(name), *_shares(labeled, index))
    table.add_row(Text("ignored", style="dim"), *_shares(labeled, -1))
    show_table(table)
    absent = statistics.absent()
    if absent:
        out.print(Text(f"never occur: {', '.join(absent)}", style="yellow"))


def _show_origin(origin: Origin | None) -> None:
    if origin is None:
        return
    for title, text in (
        ("cite", origin.citation),
        ("terms", origin.terms),
        ("size", origin.size),
        ("from", "\n      ".join(origin.address)),
        ("how", origin.how),
    ):
        if text:
            out.print(Text(f"{title:<5} ", "dim") + Text(text))


def _shares(splits: Iterable["SplitStatistics"], index: int) -> list[str]:
    """Return a class's share of the pixels and number of pictures, for each split; -1: ignored."""
    cells = []
    for split in splits:
        share = 100 * split.pixels[index] / max(1, split.pixels.sum())
        cells.append("-" if split.pixels[index] == 0 else f"{share:.2f}")
        cells.append("" if index < 0 else f"{split.pictures[index]:,}")
    return cells


def _raw_values(card: Card, values: Sequence[int]) -> str:
    """Return raw label values as text: colors, or numbers with runs shortened (3-8)."""
    if card.labels == "colors":
        return ", ".join(f"#{value:06x}" for value in values)
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _describe_split(split: SplitEntry) -> str:
    text = f"split {split.name}: "
    text += f"{split.images:,} images" if split.images is not None else "any number of images"
    if split.list:
        text += f", {split.list}"
    if split.fraction:
        text += f", a share of {split.fraction}"
    if not split.labels:
        text += ", without labels"
    return text + ("" if split.required else " (may be missing)")

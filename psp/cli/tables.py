"""Results as tables on stdout. Only this file and display.py know rich."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from psp.cli.console import escape, out
from psp.data.card import Card, Origin, SplitEntry
from psp.settings.config import show
from psp.settings.sources import Setting
from psp.zoo.catalog import Entry, Score

if TYPE_CHECKING:  # they bring torch and numpy, which the cards do without
    from psp.data.statistics import SplitStatistics, Statistics
    from psp.evaluate.evaluate import Evaluation
    from psp.evaluate.metrics import Tally
    from psp.model.procedure import Procedure
    from psp.model.summary import Summary
    from psp.model.weights import Header


def _table(first: str, *numbers: str) -> Table:
    """Return a table of a text and columns of numbers."""
    table = Table(first, box=None, pad_edge=False)
    for title in numbers:
        table.add_column(title, justify="right")
    return table


def show_source(statistics: "Statistics") -> None:
    """Print whose shards these are, where the data come from, and how pictures are stored."""
    out.print(Text(str(statistics.folder), "bold") + Text(f"  {statistics.card.title}", ""))
    _show_origin(statistics.card.origin)
    how = dict(statistics.conversion)
    stored = "arrays, nothing to decode" if how["store"] == "raw" else "the original files' bytes"
    if how["reencode"]:
        stored += f"; lossless ones compressed to JPEG {how['reencode']} (lossy)"
    if how["max_side"]:
        stored += f"; shrunk to {how['max_side']} pixels where a side was longer"
    out.print(Text(f"pictures: {stored}"))
    out.print()


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


def show_statistics(statistics: "Statistics") -> None:
    """Print splits with sizes, and classes with how much there is of each."""
    table = _table(
        "split", "images", "labels", "shards", "MB", "smallest", "median", "largest", "left out"
    )
    for split in statistics.splits:
        table.add_row(
            split.name,
            f"{split.images:,}",
            "yes" if split.labeled else "no",
            str(split.shards),
            f"{split.bytes / 1e6:.1f}",
            _size(split.smallest),
            _size(split.median),
            _size(split.largest),
            str(len(split.skipped) or ""),
        )
    out.print(table)
    labeled = [split for split in statistics.splits if split.labeled]
    if not labeled:
        return
    out.print()
    table = _table("class")
    for split in labeled:
        table.add_column(f"{split.name} %", justify="right")
        table.add_column("images", justify="right")
    for number, name in enumerate(statistics.card.names):
        table.add_row(Text(name), *_shares(labeled, number))
    table.add_row(Text("ignored", style="dim"), *_shares(labeled, -1))
    out.print(table)
    absent = statistics.absent()
    if absent:
        out.print(Text(f"never occur: {', '.join(absent)}", style="yellow"))


def _shares(splits: Iterable["SplitStatistics"], number: int) -> list[str]:
    """Return a class's share of the pixels and its pictures, for each split."""
    cells = []
    for split in splits:
        share = 100 * split.pixels[number] / max(1, split.pixels.sum())
        cells.append("-" if split.pixels[number] == 0 else f"{share:.2f}")
        cells.append("" if number < 0 else f"{split.pictures[number]:,}")
    return cells


def _size(size: tuple[int, int]) -> str:
    height, width = size
    return f"{width}x{height}"


def show_evaluation(evaluation: "Evaluation", worst: int) -> None:
    """Print the per-class table, the procedure, the scores, and the `worst` pictures."""
    if evaluation.tally is not None:
        _show_classes(evaluation.tally, evaluation.header.classes)
    how = procedure_line(
        evaluation.model.which, evaluation.header, evaluation.procedure, evaluation.precision
    )
    out.print(Text(f"{evaluation.dataset} {evaluation.split}, {evaluation.images} images · {how}"))
    if evaluation.tally is None:
        out.print(Text("no labels: nothing is scored"))
        return
    scores, number = evaluation.tally.confusion.scores(), len(evaluation.header.classes)
    out.print(
        f"[bold]mIoU {100 * scores.miou:.2f}[/]   mean accuracy {100 * scores.mean_accuracy:.2f}   "
        f"pixel accuracy {100 * scores.pixel_accuracy:.2f}"
    )
    out.print(
        f"ADE score {100 * scores.ade_score:.2f}   frequency-weighted IoU "
        f"{100 * scores.frequency_weighted_iou:.2f}   boundary F "
        f"{100 * evaluation.tally.boundary_mean:.2f}"
    )
    labeled, occurring = ((scores.pixels > 0).sum(), (scores.pixels + scores.predicted > 0).sum())
    out.print(
        f"that mIoU is over all {number} classes, the authors' way; over the {occurring} labeled "
        f"or predicted {100 * scores.miou_occurring:.2f}, over the {labeled} labeled "
        f"{100 * scores.miou_labeled:.2f}"
    )
    listed = evaluation.tally.worst(worst)
    if listed:
        table = _table("worst pictures", "mIoU", "accuracy")
        for picture in listed:
            table.add_row(
                Text(picture.name), _percent(picture.miou), _percent(picture.pixel_accuracy)
            )
        out.print()
        out.print(table)


def _show_classes(tally: "Tally", names: Sequence[str]) -> None:
    table = _table("class", "IoU", "accuracy", "boundary F", "pixels", "predicted", "images")
    scores, borders = tally.confusion.scores(), tally.boundary_f()
    for number, name in enumerate(names):
        table.add_row(
            Text(name),
            _percent(scores.iou[number]),
            _percent(scores.accuracy[number]),
            _percent(borders[number]),
            f"{scores.pixels[number]:,}",
            f"{scores.predicted[number]:,}",
            f"{tally.images[number]:,}",
        )
    out.print(table)


def show_model(found: "Summary") -> None:
    """Print what a model is, in one screen."""
    header, spec = found.header, found.header.architecture
    details = ", ".join(f"{name}={show(value)}" for name, value in found.details.items())
    aux = f"; and {found.aux_parameters / 1e6:.1f} M of the auxiliary head" if spec.aux else ""
    mean, std = header.preprocessing.mean, header.preprocessing.std
    scale = " / ".join(f"{value:g}" for value in std)
    size = f"long side {header.base_size}" if header.base_size else "at their own size"
    names = ", ".join(header.classes[:8]) + (", …" if len(header.classes) > 8 else "")
    rows = [
        ("network", f"PSPNet, {spec.backbone}, {spec.stem} stem"),
        ("details", details or "the paper's"),
        ("parameters", f"{found.parameters / 1e6:.1f} M{aux}; {found.size / 1e6:.1f} MB"),
        ("cost", f"{found.flops / 1e9:.1f} GFLOPs a window of {header.crop}"),
        ("pictures", size),
        ("input", f"RGB, minus {' / '.join(f'{value:g}' for value in mean)}, over {scale}"),
        ("classes", f"{len(header.classes)} of {header.dataset}: {names}"),
        ("trained", f"to step {header.step}" if header.step else ""),
        ("imported", header.source),
    ]
    out.print(Text(f"{found.path}", "bold"))
    for title, text in rows:
        if text:
            out.print(Text(f"{title:<11}", "dim") + Text(text))


def procedure_line(which: str, header: "Header", procedure: "Procedure", precision: str) -> str:
    """Return in one line with which weights and how pictures were parsed."""
    step = f", step {header.step}" if header.step else ""  # imported weights have none
    return f"{which} weights{step} · {procedure.description} · {precision}"


def _percent(value: float) -> str:
    return "-" if value != value else f"{100 * value:.2f}"  # NaN: no pixel of that class


def show_cards(cards: Sequence[Card]) -> None:
    """Print the shipped cards in a table."""
    table = Table("name", "data set", box=None, pad_edge=False)
    table.add_column("classes", justify="right")
    table.add_column("splits (images)")
    for card in cards:
        splits = ", ".join(f"{split.name} {split.images or '?'}" for split in card.splits)
        table.add_row(card.name, Text(card.title), str(len(card.classes)), splits)
    out.print(table)


def show_card(card: Card) -> None:
    """Print a card: where to get the set, classes with color chips, splits, recipes."""
    out.print(Text(card.name, "bold") + Text(f"  {card.title}  (layout {card.layout})", ""))
    _show_origin(card.origin)
    out.print()
    table = Table(box=None, pad_edge=False)
    table.add_column("id", justify="right")
    for title in ("color", "class", "raw values"):
        table.add_column(title)
    for number, entry in enumerate(card.classes):
        code = "#{:02x}{:02x}{:02x}".format(*entry.color)
        chip = Text("  ", style=f"on {code}") + Text(f" {code}", style="dim")
        table.add_row(str(number), chip, Text(entry.name), _raw_values(card, entry.raw))
    if card.ignore_from:
        raw = _raw_values(card, card.ignore_from)
        table.add_row("255", "", Text("ignored", style="dim"), raw)
    out.print(table)
    out.print()
    for split in card.splits:
        out.print(Text(_describe_split(split)))
    for name, recipe in {card.recipe_name: card.recipe, **card.recipes}.items():
        settings = ", ".join(f"{key}={show(value)}" for key, value in recipe.items())
        out.print(Text(f"recipe {name}: {settings or 'the defaults'}"))
    out.print(Text(f"more: psp recipe show {card.name}", "dim"))


def show_models(entries: Sequence[Entry]) -> None:
    """Print the published weights in a table."""
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for title in ("name", "card", "network"):
        table.add_column(title, no_wrap=True)
    table.add_column("mIoU", justify="right")
    table.add_column("MB", justify="right")
    table.add_column("here")
    table.add_column("terms")
    for entry in entries:
        first = entry.scores[0]
        here = "yes" if entry.path.is_file() else "-"
        table.add_row(
            entry.name,
            entry.card,
            entry.backbone,
            f"{first.miou:.2f}",
            str(entry.megabytes),
            here,
            Text(entry.publisher.terms),
        )
    out.print(table)
    out.print(
        Text(
            "mIoU: as published, one scale, validation split. A name stands wherever a model is "
            "asked for: psp predict PHOTOS -m NAME. More: psp models show NAME",
            "dim",
        )
    )


def show_entry(entry: Entry) -> None:
    """Print what is known of published weights."""
    publisher = entry.publisher
    size = f"long side {entry.base_size}" if entry.base_size else "at their own size"
    rows = [
        ("network", f"PSPNet, {entry.backbone}; {entry.megabytes} MB once it is here"),
        ("classes", f"those of card {entry.card}: psp cards show {entry.card}"),
        ("scores", "; ".join(map(_describe_score, entry.scores))),
        ("read in", publisher.read_in),
        ("pictures", f"windows of {entry.crop}, {size}"),
        ("by", f"{publisher.title}, {publisher.page}"),
        ("terms", entry.terms),
        *(
            ("from", f"{f.address}  (SHA-256 {f.sha256 + '…' if f.sha256 else 'not published'})")
            for f in entry.files
        ),
        ("here", str(entry.path) if entry.path.is_file() else "no, fetched at the first use"),
    ]
    out.print(Text(entry.name, "bold"))
    for title, text in rows:
        out.print(Text(f"{title:<9}", "dim") + Text(text))


def _describe_score(score: Score) -> str:
    accuracy = f", pixel accuracy {score.pixel_accuracy:.2f}" if score.pixel_accuracy else ""
    return f"mIoU {score.miou:.2f}{accuracy} ({score.procedure})"


def show_recipe(title: str, source: str, settings: Sequence[Setting]) -> None:
    """Print every setting of a recipe, and who says so."""
    out.print(Text(title, "bold") + Text(f"  {source}" if source else "", ""))
    out.print()
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for setting in settings:
        style = "" if setting.given else "dim"
        table.add_row(setting.name, Text(show(setting.value)), Text(setting.source, style))
    out.print(table)


def show_recipe_difference(
    titles: tuple[str, str], pairs: Sequence[tuple[Setting, Setting]]
) -> None:
    """Print the settings that two recipes do not share."""
    if not pairs:
        out.print(f"{escape(titles[0])} and {escape(titles[1])} are the same.")
        return
    table = Table("setting", *map(escape, titles), box=None, pad_edge=False)
    for one, two in pairs:
        table.add_row(one.name, show(one.value), show(two.value))
    out.print(table)


def _raw_values(card: Card, values: Sequence[int]) -> str:
    """Return raw label values as a text: colors, or numbers with runs shortened (3-8)."""
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

"""Models as tables: what a weights file holds, and which published weights there are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from psp.cli.console import out
from psp.cli.tables.narrow import show_table
from psp.settings.section import show
from psp.zoo.catalog import Entry, Remote, Score

if TYPE_CHECKING:  # importing it loads torch
    from psp.model.summary import Summary
    from psp.zoo.scorecard import Row


def show_model(summary: "Summary") -> None:
    """Print what a model is, on one screen."""
    header, spec = summary.header, summary.header.architecture
    details = ", ".join(f"{name}={show(value)}" for name, value in summary.details.items())
    aux = f" + {summary.aux_parameters / 1e6:.1f} M in the auxiliary head" if spec.aux else ""
    mean, std = header.preprocessing.mean, header.preprocessing.std
    scale = " / ".join(f"{value:g}" for value in std)
    size = f"resized to a long side of {header.base_size}" if header.base_size else "original size"
    if header.max_side and not header.base_size:
        size = f"shrunk to a long side of {header.max_side}"
    names = ", ".join(header.classes[:8]) + (", …" if len(header.classes) > 8 else "")
    rows = [
        ("network", f"PSPNet, {spec.backbone}, {spec.stem} stem"),
        ("details", details or "as in the paper"),
        ("parameters", f"{summary.parameters / 1e6:.1f} M{aux}; {summary.size / 1e6:.1f} MB"),
        ("cost", f"{summary.flops / 1e9:.1f} GFLOPs per window of {header.crop}"),
        ("pictures", size),
        ("procedure", header.procedure.description if header.procedure else ""),
        ("input", f"RGB, minus {' / '.join(f'{value:g}' for value in mean)}, over {scale}"),
        ("classes", f"{len(header.classes)} of {header.dataset}: {names}"),
        ("trained", f"to step {header.step}" if header.step else ""),
        ("imported", header.source),
    ]
    out.print(Text(f"{summary.path}", "bold"))
    for title, text in rows:
        if text:
            out.print(Text(f"{title:<11}", "dim") + Text(text))


def show_models(entries: Sequence[Entry]) -> None:
    """Print the published weights in a table."""
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for title in ("name", "card", "network"):
        table.add_column(title, no_wrap=True)
    table.add_column("mIoU", justify="right")
    table.add_column("MB", justify="right")
    table.add_column("fetched")
    table.add_column("terms")
    for entry in entries:
        first = entry.scores[0]
        fetched = "yes" if entry.path.is_file() else "-"
        table.add_row(
            entry.name,
            entry.card,
            entry.backbone,
            f"{first.miou:.2f}",
            str(entry.megabytes),
            fetched,
            Text(entry.publisher.terms),
        )
    show_table(table)
    out.print(
        Text(
            "mIoU: as published, one scale, validation split. Use a name wherever a command takes "
            "a model: psp predict PHOTOS -m NAME. Details: psp models show NAME",
            "dim",
        )
    )


def show_scorecard(rows: "Sequence[Row]") -> None:
    """Print published scores beside measured ones; what nobody measured is empty."""
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for title in ("name", "procedure", "published", "measured", "difference", "with", "file"):
        numbers = title in ("published", "measured", "difference")
        table.add_column(title, no_wrap=True, justify="right" if numbers else "left")
    for row in rows:
        found, difference = row.measured, row.difference
        table.add_row(
            row.entry.name,
            row.score.procedure,
            f"{row.score.miou:.2f}",
            f"{found.miou:.2f}" if found else "",
            "" if difference is None else f"{difference:+.2f}",
            f"psp {found.psp}, {found.date}" if found else "",
            Text(str(found.path)) if found else "",
        )
    show_table(table)
    out.print(
        Text(
            "mIoU on the validation split. To measure: psp evaluate NAME --data SHARDS -o DIR, "
            "also with --multi-scale; then psp models --scores --measured DIR",
            "dim",
        )
    )


def show_entry(entry: Entry) -> None:
    """Print everything about an entry of the catalog of published weights."""
    publisher = entry.publisher
    size = f"resized to a long side of {entry.base_size}" if entry.base_size else "original size"
    size = f"windows of {entry.crop}, {size}"
    rows = [
        (
            "network",
            f"PSPNet, {entry.backbone}, {entry.stem} stem; {entry.megabytes} MB once fetched",
        ),
        ("classes", f"those of the card {entry.card}: psp cards show {entry.card}"),
        ("scores", "; ".join(map(_describe_score, entry.scores))),
        ("read in", publisher.read_in),
        ("pictures", entry.procedure.description if entry.procedure else size),
        ("by", f"{publisher.title}, {publisher.page}"),
        ("terms", entry.terms),
        *(
            ("or" if number else "from", f"{address}{'' if number else _checksum(file)}")
            for file in entry.files
            for number, address in enumerate(file.addresses)
        ),
        ("file", str(entry.path) if entry.path.is_file() else "none yet; fetched at first use"),
    ]
    out.print(Text(entry.name, "bold"))
    for title, text in rows:
        out.print(Text(f"{title:<9}", "dim") + Text(text))


def _checksum(file: Remote) -> str:
    return f"  (SHA-256 {file.sha256 + '…' if file.sha256 else 'not published'})"


def _describe_score(score: Score) -> str:
    accuracy = f", pixel accuracy {score.pixel_accuracy:.2f}" if score.pixel_accuracy else ""
    return f"mIoU {score.miou:.2f}{accuracy} ({score.procedure})"

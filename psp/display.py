"""What people see: progress and remarks on stderr, results on stdout. Only this file knows rich."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich import markup
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from psp.cards import Card
from psp.journal import Event, Step, Tick, Validating, Validation, describe

if TYPE_CHECKING:  # it brings torch, which most of what is shown does without
    from psp.evaluate import Evaluation
    from psp.infer import Protocol as TestProtocol
    from psp.weights import Header

SECONDS_BETWEEN_LINES = 10  # where there is no terminal to draw a bar on

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def escape(text: object) -> str:
    """Return a text that rich shows as it is."""
    return markup.escape(str(text))


def say(text: str) -> None:
    """Print a remark on stderr."""
    err.print(Text(text))


class Advance(Protocol):
    """Called with the work done so far and the total."""

    def __call__(self, done: int, total: int) -> None: ...


@contextmanager
def progress(title: str, quiet: bool) -> Iterator[Advance]:
    """Show a bar on a terminal, now and then a line elsewhere, nothing when quiet."""
    if quiet:
        yield lambda done, total: None
        return
    if not err.is_terminal:
        yield _lines(title)
        return
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("·"), TimeRemainingColumn(), TextColumn("left"), console=err, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(title)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(title: str) -> Advance:
    last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{title}: {done} of {total}", file=sys.stderr, flush=True)

    return advance


class TrainingDisplay:
    """A live line of losses, speed and time left on a terminal; plain lines elsewhere."""

    def __init__(self, steps: int, *, verbose: bool, quiet: bool) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.live: Live | None = None
        self.step = Progress(
            TextColumn("training  "), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=err,
        )  # fmt: skip
        self.task: TaskID = self.step.add_task("", total=steps)
        self.validation = Progress(
            TextColumn("validating"), BarColumn(), MofNCompleteColumn(), console=err
        )
        self.validating: TaskID | None = None
        self.numbers = Text("")
        self.best: float | None = None

    def __enter__(self) -> "TrainingDisplay":
        if err.is_terminal and not self.quiet:
            self.live = Live(self._picture(), console=err, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        if self.quiet:
            return
        if self.live is None:
            if not isinstance(event, (Tick, Validating)):
                print(describe(event), file=sys.stderr, flush=True)
            return
        if isinstance(event, Tick):
            self.step.update(self.task, completed=event.step)
            return
        if isinstance(event, Step):
            numbers = describe(event).partition(": ")[2]
            best = f", best mIoU {100 * self.best:.2f}" if self.best is not None else ""
            self.numbers = Text(numbers + best, style="dim")
            if self.verbose:
                err.print(Text(describe(event), style="dim"))
        elif isinstance(event, Validating):
            if self.validating is None:
                self.validating = self.validation.add_task("", total=event.total)
            self.validation.update(self.validating, completed=event.done)
        else:
            style = "bold green" if isinstance(event, Validation) and event.best else ""
            err.print(Text(describe(event), style=style))
        if isinstance(event, Validation):
            self.best = event.miou if event.best else self.best
            if self.validating is not None:
                self.validation.remove_task(self.validating)
                self.validating = None
        self.live.update(self._picture())

    def _picture(self) -> Group:
        if self.validating is None:
            return Group(self.step, self.numbers)
        return Group(self.step, self.numbers, self.validation)


def show_shards(splits: dict[str, dict[str, object]]) -> None:
    """Print what `prepare` wrote: images, shards and megabytes a split."""
    table = Table("split", box=None, pad_edge=False, title=None)
    for title in ("images", "shards", "MB"):
        table.add_column(title, justify="right")
    for name, entry in splits.items():
        shards = entry["shards"]
        assert isinstance(shards, list)
        size = sum(shard["bytes"] for shard in shards) / 1e6
        table.add_row(name, str(entry["images"]), str(len(shards)), f"{size:.1f}")
    out.print(table)


def show_evaluation(evaluation: "Evaluation") -> None:
    """Print the per-class table, the protocol and the three scores."""
    table = Table("class", box=None, pad_edge=False)
    for title in ("IoU", "accuracy", "pixels"):
        table.add_column(title, justify="right")
    scores = evaluation.scores
    for name, iou, accuracy, pixels in zip(
        evaluation.header.classes, scores.iou, scores.accuracy, scores.pixels, strict=True
    ):
        table.add_row(Text(name), _percent(iou), _percent(accuracy), f"{pixels:,}")
    out.print(table)
    how = protocol_line(
        evaluation.model.which, evaluation.header, evaluation.protocol, evaluation.precision
    )
    out.print(Text(f"{evaluation.dataset} {evaluation.split}, {evaluation.images} images · {how}"))
    out.print(
        f"[bold]mIoU {100 * scores.miou:.2f}[/]   mean accuracy {100 * scores.mean_accuracy:.2f}   "
        f"pixel accuracy {100 * scores.pixel_accuracy:.2f}"
    )


def protocol_line(which: str, header: "Header", protocol: "TestProtocol", precision: str) -> str:
    """Return in one line with which weights and how pictures were parsed."""
    return f"{which} weights, step {header.step} · {protocol.description} · {precision}"


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
    """Print a card: classes with color chips, splits, recipes."""
    out.print(Text(card.name, "bold") + Text(f"  {card.title}  (layout {card.layout})", ""))
    out.print()
    table = Table(box=None, pad_edge=False)
    table.add_column("id", justify="right")
    for title in ("color", "class", "raw values"):
        table.add_column(title)
    for number, entry in enumerate(card.classes):
        code = "#{:02x}{:02x}{:02x}".format(*entry.color)
        chip = Text("  ", style=f"on {code}") + Text(f" {code}", style="dim")
        table.add_row(str(number), chip, Text(entry.name), ", ".join(map(str, entry.raw)))
    if card.ignore_from:
        raw = ", ".join(map(str, card.ignore_from))
        table.add_row("255", "", Text("ignored", style="dim"), raw)
    out.print(table)
    out.print()
    for split in card.splits:
        promised = f"{split.images} images" if split.images is not None else "any number of images"
        out.print(Text(f"split {split.name}: {promised}{f', {split.list}' if split.list else ''}"))
    for name, recipe in {"default": card.recipe, **card.recipes}.items():
        settings = ", ".join(f"{key}={value}" for key, value in recipe.items())
        out.print(Text(f"recipe {name}: {settings or 'the defaults'}"))


def show_error(message: str) -> None:
    """Print a user's mistake as one line on stderr."""
    err.print(Text("error: ", style="bold red") + Text(message))

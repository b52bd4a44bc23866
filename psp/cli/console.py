"""What people see while they wait: progress and remarks, on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich import markup
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from psp.train.run_log import (
    Event,
    Step,
    Tick,
    Validating,
    Validation,
    describe,
)
from psp.zoo.catalog import Entry
from psp.zoo.published import (
    Fetching,
    FirstUse,
    Kept,
    Report,
)

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
    with _kept_interrupts() as check, _shown(title, quiet) as show:

        def advance(done: int, total: int) -> None:
            check()
            show(done, total)

        yield advance


@contextmanager
def _kept_interrupts() -> Iterator[Callable[[], None]]:
    """Yield a function that raises a KeyboardInterrupt that Python has dropped.

    One that falls into a callback of the garbage collector goes no further: Python prints it and
    goes on, and Ctrl-C would do nothing.
    """
    dropped, before = False, sys.unraisablehook

    def keep(event: "sys.UnraisableHookArgs") -> None:
        nonlocal dropped
        if event.exc_type is KeyboardInterrupt:
            dropped = True
        else:
            before(event)

    def check() -> None:
        if dropped:
            raise KeyboardInterrupt

    sys.unraisablehook = keep
    try:
        yield check
    finally:
        sys.unraisablehook = before


@contextmanager
def _shown(title: str, quiet: bool) -> Iterator[Advance]:
    if quiet:
        yield lambda done, total: None
        return
    if not err.is_terminal:
        yield _lines(title)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("·"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=err,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(title: str, unit: int = 1, name: str = "") -> Advance:
    last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            whole = total // unit or "?"
            print(
                f"{title}: {done // unit} of {whole} {name}".rstrip(), file=sys.stderr, flush=True
            )

    return advance


@contextmanager
def fetching(quiet: bool) -> Iterator[Report]:
    """Show source, terms and a bar when published weights are used for the first time."""
    if quiet:
        yield lambda event: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("·"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=err,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}
    lines = _lines("fetching", 1_000_000, "MB")

    def report(event: FirstUse | Fetching | Kept) -> None:
        if isinstance(event, FirstUse):
            _introduce(event.entry)
        elif isinstance(event, Kept):
            if tasks:
                bar.stop()
            say(f"{event.entry.name}: {event.what}")
            for remark in event.remarks:
                say(remark)
            say(f"kept: {event.entry.path}")
        elif err.is_terminal:
            if event.file not in tasks:
                bar.start()
                tasks[event.file] = bar.add_task(event.file, total=event.total)
            bar.update(tasks[event.file], completed=event.done)
        else:
            lines(event.done, event.total or 0)

    try:
        yield report
    finally:
        if tasks:  # a bar that never began would leave an empty line
            bar.stop()


def _introduce(entry: Entry) -> None:
    """Say where weights come from and on what terms, before they are fetched."""
    say(f"{entry.name}: published by {entry.publisher.title}, {entry.publisher.page}")
    say(f"terms: {entry.terms}")
    for file in entry.files:
        proof = "" if file.sha256 else " (no checksum is published)"
        say(f"from {file.address}{proof}")


class TrainingDisplay:
    """A live line of losses, speed and time left on a terminal; plain lines elsewhere."""

    def __init__(self, steps: int, *, verbose: bool, quiet: bool) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.live: Live | None = None
        self.step = Progress(
            TextColumn("training  "),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
        )
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


def show_error(message: str) -> None:
    """Print a user's mistake as one line on stderr."""
    err.print(Text("error: ", style="bold red") + Text(message))

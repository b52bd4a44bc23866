"""The terminal: progress and remarks on stderr, `out` for results on stdout.

This module and `tables/` are the only ones that use rich.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich import markup
from rich.console import Console, ConsoleOptions, Group, RenderableType
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
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from psp import events
from psp.cli.unread import end_without_reader
from psp.events import Report, ignore
from psp.train.run_log import STEPS, Event, Step, Validation, describe

SECONDS_BETWEEN_LINES = 10  # of progress, where stderr is not a terminal

# What a terminal obeys (C0 and C1 but the line feed), and what turns the direction of writing.
_OBEYED = [*range(10), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F)]
_SHOWN = {code: ascii(chr(code))[1:-1] for code in [*_OBEYED, *range(0x2066, 0x206A)]}


class _Console(Console):
    """A console that shows control characters of names, titles and messages: none is obeyed.

    Such texts can come from files of strangers: weights, shards, cards, lists.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Render as rich does; what rich itself says to the terminal stays as it is."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(segment.text.translate(_SHOWN), segment.style)

    def on_broken_pipe(self) -> None:
        """End as SIGPIPE does, with its exit code, if it is the results that nobody reads."""
        if self.stderr:
            self.quiet = True
        else:
            end_without_reader()


out = _Console(soft_wrap=True, highlight=False)
err = _Console(stderr=True, soft_wrap=True, highlight=False)


def escape(text: object) -> str:
    """Return `text` with rich's markup escaped, so that it is printed as it is."""
    return markup.escape(str(text))


def say(text: str) -> None:
    """Print a remark on stderr."""
    err.print(Text(text))


def show_error(message: str) -> None:
    """Print a user's error as one line on stderr."""
    err.print(Text("error: ", style="bold red") + Text(message))


def number_table(first: str, *numbers: str) -> Table:
    """Return an empty table with a column of text and right-aligned columns of numbers."""
    table = Table(first, box=None, pad_edge=False)
    for title in numbers:
        table.add_column(title, justify="right")
    return table


class Advance(Protocol):
    """Called with the amount of work done so far and the total."""

    def __call__(self, done: int, total: int) -> None: ...


@contextmanager
def progress(title: str, quiet: bool) -> Iterator[Advance]:
    """Show a bar on a terminal, a line every few seconds elsewhere, and nothing if `quiet`.

    Each call of the yielded function raises KeyboardInterrupt if Ctrl-C was pressed and got lost.
    """
    with _lost_interrupts() as raise_lost, _progress_shown(title, quiet) as show:

        def advance(done: int, total: int) -> None:
            raise_lost()
            show(done, total)

        yield advance


@contextmanager
def listening(title: str, quiet: bool) -> Iterator[Report]:
    """Show what long work reports: progress as `progress` does, and notices as remarks."""
    with progress(title, quiet) as advance:
        yield _listener(advance, quiet)


def _listener(advance: Advance, quiet: bool) -> Report:
    """Return what long work reports to: progress goes to `advance`, notices are remarks."""

    def listen(event: events.Progress | events.Notice) -> None:
        if isinstance(event, events.Progress):
            advance(event.done, event.total or 0)
        elif not quiet:
            say(event.text)

    return listen


@contextmanager
def _lost_interrupts() -> Iterator[Callable[[], None]]:
    """Yield a function that raises KeyboardInterrupt if there was one that Python dropped.

    Python prints and drops an exception that is raised inside a callback of the garbage collector,
    so a Ctrl-C at that moment would have no effect. The SIGINT handler is replaced in the main
    thread only (Python allows no other), and only where it is Python's own: a shell that starts a
    command in the background has SIGINT ignored, and it stays ignored.
    """
    interrupted = False

    def note(number: int, frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    def raise_lost() -> None:
        if interrupted:
            raise KeyboardInterrupt

    previous = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or previous is not signal.default_int_handler:
        yield raise_lost
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield raise_lost
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _progress_shown(title: str, quiet: bool) -> Iterator[Advance]:
    if quiet:
        yield lambda done, total: None
        return
    if not err.is_terminal:
        yield _progress_lines(title)
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


def _progress_lines(title: str, unit: int = 1, unit_name: str = "") -> Advance:
    """Return a function that prints progress every few seconds, counted in `unit`."""
    printed = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal printed
        if time.monotonic() - printed > SECONDS_BETWEEN_LINES:
            printed = time.monotonic()
            line = f"{title}: {done // unit} of {total // unit or '?'} {unit_name}"
            print(line.rstrip(), file=sys.stderr, flush=True)

    return advance


@contextmanager
def fetching(quiet: bool) -> Iterator[Report]:
    """Show what is reported while published weights are fetched, at their first use."""
    if quiet:
        yield ignore
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
    task = bar.add_task("fetching", total=None)

    def advance(done: int, total: int) -> None:
        bar.start()  # only now: most calls fetch nothing
        bar.update(task, completed=done, total=total or None)

    try:
        lines = _progress_lines("fetching", 1_000_000, "MB")
        yield _listener(advance if err.is_terminal else lines, quiet)
    finally:
        if bar.live.is_started:  # stopping one that was never started would print an empty line
            bar.stop()


class TrainingDisplay:
    """Shows a training: bars and losses on a terminal, plain lines elsewhere."""

    def __init__(self, steps: int, *, verbose: bool, quiet: bool) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.live: Live | None = None
        self.steps = Progress(
            TextColumn("training  "),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
        )
        self.steps_task: TaskID = self.steps.add_task("", total=steps)
        self.validation = Progress(
            TextColumn("validating"), BarColumn(), MofNCompleteColumn(), console=err
        )
        self.validation_task: TaskID | None = None
        self.losses = Text("")
        self.best: float | None = None

    def __enter__(self) -> "TrainingDisplay":
        if err.is_terminal and not self.quiet:
            self.live = Live(self._drawn(), console=err, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        if self.quiet:
            return
        if self.live is None:
            if not isinstance(event, events.Progress):
                print(describe(event), file=sys.stderr, flush=True)
            return
        if isinstance(event, events.Progress) and event.unit == STEPS:
            self.steps.update(self.steps_task, completed=event.done, total=event.total)
            return
        if isinstance(event, Step):
            losses = describe(event).partition(": ")[2]
            best = f", best mIoU {100 * self.best:.2f}" if self.best is not None else ""
            self.losses = Text(losses + best, style="dim")
            if self.verbose:
                err.print(Text(describe(event), style="dim"))
        elif isinstance(event, events.Progress):
            if self.validation_task is None:
                self.validation_task = self.validation.add_task("", total=event.total)
            self.validation.update(self.validation_task, completed=event.done)
        else:
            style = "bold green" if isinstance(event, Validation) and event.best else ""
            err.print(Text(describe(event), style=style))
        if isinstance(event, Validation):
            self.best = event.miou if event.best else self.best
            if self.validation_task is not None:
                self.validation.remove_task(self.validation_task)
                self.validation_task = None
        self.live.update(self._drawn())

    def _drawn(self) -> Group:
        if self.validation_task is None:
            return Group(self.steps, self.losses)
        return Group(self.steps, self.losses, self.validation)

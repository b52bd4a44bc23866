"""The terminal: progress and remarks on stderr, `out` for results on stdout.

This module, training.py and `tables/` are the only ones that use rich.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich import markup
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
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
from psp.events import WINDOWS, Report, ignore
from psp.train.run_log import duration

SECONDS_BETWEEN_LINES = 10  # of progress, where stderr is not a terminal
NARROW = 75  # columns: what a whole bar needs

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
    """Called with the amount of work done so far and the total.

    `inside` is how far the next piece of work is, where one takes long: windows done, of how many.
    """

    def __call__(self, done: int, total: int, inside: tuple[int, int] | None = None) -> None: ...


@contextmanager
def progress(title: str, quiet: bool) -> Iterator[Advance]:
    """Show a bar on a terminal, a line every few seconds elsewhere, and nothing if `quiet`.

    Each call of the yielded function raises KeyboardInterrupt if Ctrl-C was pressed and got lost.
    """
    with _lost_interrupts() as raise_lost, _progress_shown(title, quiet) as show:

        def advance(done: int, total: int, inside: tuple[int, int] | None = None) -> None:
            raise_lost()
            show(done, total, inside)

        yield advance


@contextmanager
def listening(title: str, quiet: bool) -> Iterator[Report]:
    """Show what long work reports: progress as `progress` does, and notices as remarks."""
    with progress(title, quiet) as advance:
        yield _listener(advance, quiet)


def _listener(advance: Advance, quiet: bool) -> Report:
    """Return what long work reports to: progress goes to `advance`, notices are remarks."""
    done, total = 0, 0

    def listen(event: events.Progress | events.Notice) -> None:
        nonlocal done, total
        if isinstance(event, events.Progress) and event.unit == WINDOWS:
            advance(done, total, (event.done, event.total or 1))
        elif isinstance(event, events.Progress):
            done, total = event.done, event.total or 0
            advance(done, total)
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


class _Rate(ProgressColumn):
    """How many are done in a second, or in a minute where it is less than one."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(_rate(speed) if speed else "", style="dim")


def _rate(speed: float) -> str:
    return f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min"


@contextmanager
def _progress_shown(title: str, quiet: bool) -> Iterator[Advance]:
    if quiet:
        yield lambda done, total, inside=None: None
        return
    if not err.is_terminal:
        yield _progress_lines(title)
        return
    narrow = err.width < NARROW
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(10 if narrow else 40),
        MofNCompleteColumn(),
        *([] if narrow else [_Rate(), TimeElapsedColumn(), TextColumn("·")]),
        TimeRemainingColumn(compact=narrow),
        TextColumn("left"),
        console=err,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=None)

        def advance(done: int, total: int, inside: tuple[int, int] | None = None) -> None:
            text, part = title, 0.0
            if inside is not None:
                text, part = f"{title}, window {inside[0]} of {inside[1]}", inside[0] / inside[1]
            bar.update(task, completed=done + part, total=total or None, description=text)

        yield advance


def _progress_lines(title: str, unit: int = 1, unit_name: str = "") -> Advance:
    """Return a function that prints progress every few seconds, counted in `unit`.

    The rate and the time that is left are of the work since the first call, as that may have begun
    with what an earlier command has done.
    """
    printed = time.monotonic()
    first: tuple[float, float] | None = None

    def advance(done: int, total: int, inside: tuple[int, int] | None = None) -> None:
        nonlocal printed, first
        now, amount = time.monotonic(), done + (inside[0] / inside[1] if inside else 0.0)
        first = first or (now, amount)
        if now - printed <= SECONDS_BETWEEN_LINES:
            return
        printed = now
        line = f"{title}: {done // unit} of {total // unit or '?'} {unit_name}".rstrip()
        if inside is not None:
            line += f", window {inside[0]} of {inside[1]} of the next"
        if amount > first[1]:
            speed = (amount - first[1]) / (now - first[0])
            line += "" if unit_name else f", {_rate(speed)}"
            line += f", {duration((total - amount) / speed)} left" if total else ""
        print(line, file=sys.stderr, flush=True)

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

    def advance(done: int, total: int, inside: tuple[int, int] | None = None) -> None:
        bar.start()  # only now: most calls fetch nothing
        bar.update(task, completed=done, total=total or None)

    try:
        lines = _progress_lines("fetching", 1_000_000, "MB")
        yield _listener(advance if err.is_terminal else lines, quiet)
    finally:
        if bar.live.is_started:  # stopping one that was never started would print an empty line
            bar.stop()

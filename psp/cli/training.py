"""What a training shows while it runs: bars and losses on a terminal, plain lines elsewhere."""

import sys

from rich.console import Group
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
from rich.text import Text

from psp import events
from psp.cli.console import NARROW, err
from psp.train.run_log import STEPS, Event, Step, Validation, describe


class TrainingDisplay:
    """Shows a training: bars and losses on a terminal, plain lines elsewhere."""

    def __init__(self, steps: int, *, verbose: bool, quiet: bool) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.live: Live | None = None
        self.steps = Progress(
            TextColumn("training  "),
            BarColumn(10 if err.width < NARROW else 40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=err,
        )
        self.steps_task: TaskID = self.steps.add_task("", total=steps, left="")
        self.validation = Progress(
            TextColumn("validating"),
            BarColumn(10 if err.width < NARROW else 40),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=err,
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
            losses, _, left = describe(event).partition(": ")[2].rpartition(", ")
            self.steps.update(self.steps_task, left=f"· {left}")  # validations are part of it
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

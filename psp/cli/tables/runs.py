"""Runs as a table."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from psp.cli.console import say
from psp.cli.tables.narrow import show_table
from psp.errors import printable
from psp.run_state import BROKEN, FINISHED, RUNNING, RunState

STYLES = {FINISHED: "green", RUNNING: "bold", BROKEN: "red"}
UNKNOWN = "-"


def show_runs(states: Sequence[RunState], folder: Path) -> None:
    """Print a line for each run; on stderr, what is broken, or how to get the first run."""
    if not states:
        say(f"{printable(str(folder))}: no runs here. The first one: psp train SHARDS")
        return
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for title in ("run", "data", "backbone"):
        table.add_column(title, no_wrap=True)
    for title in ("steps", "best mIoU", "age", "MB"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    now = time.time()
    for state in states:
        steps = f"{state.step:,} of {state.steps:,}" if state.steps else UNKNOWN
        table.add_row(
            Text(printable(state.folder)),
            Text(printable(state.data or UNKNOWN)),
            Text(printable(state.backbone or UNKNOWN)),
            steps,
            f"{100 * state.best:.2f}" if state.best is not None else UNKNOWN,
            age(now - state.changed) if state.changed else UNKNOWN,
            f"{state.size / 1e6:,.1f}" if state.size is not None else UNKNOWN,
            Text(state.state, STYLES.get(state.state, "")),
        )
    show_table(table)
    for state in states:
        if state.problem:
            say(f"broken: {state.problem}")


def age(seconds: float) -> str:
    """Return a time that has passed in its largest unit: 40s, 12m, 3h or 8d."""
    whole = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= length:
            return f"{whole // length}{unit}"
    return f"{whole}s"

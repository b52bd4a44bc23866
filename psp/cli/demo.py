"""psp demo: the tour."""

import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug
from psp.errors import PspError


def demo(
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The demo's folder; default: psp-demo.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Paint a small data set and run the four commands on it, in a few minutes: psp demo"""
    from psp.cli.console import escape, progress
    from psp.cli.console import out as console
    from psp.demo import Demo
    from psp.files import free_name

    if out is not None and out.exists():
        raise PspError(f"{out}: exists already. Choose another -o")
    place = Demo(out or free_name(Path("psp-demo")))
    console.print(f"painting {place.scenes} scenes into {escape(place.raw)}")
    with progress("painting", quiet=False) as advance:
        for number, _ in enumerate(place.paint(), start=1):
            advance(number, place.scenes)
    for command in place.commands():
        console.print(f"\n[bold]$ psp {escape(shlex.join(command))}[/]")
        if code := _run_psp(command):
            raise typer.Exit(code)
    place.draw_sheet()
    console.print(f"\n{place.scores()}")
    console.print(
        f"look at: [bold]{escape(place.sheet)}[/] (scenes, their labels, what psp made of them)"
    )
    run = escape(shlex.quote(str(place.run)))
    console.print(f"next, your own pictures: [bold]psp predict PHOTOS -m {run}[/]")
    console.print("or a real data set: [bold]psp cards[/], then psp prepare, train, evaluate")


def _run_psp(command: list[str]) -> int:
    """Run a psp command as a user would; Ctrl-C is its to handle. Return its exit code."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        return subprocess.run([sys.executable, "-m", "psp", *command], check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)

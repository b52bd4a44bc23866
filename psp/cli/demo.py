"""psp demo: the four commands on a small painted data set."""

import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug
from psp.errors import PspError
from psp.ranks import environment_alone


def demo_command(
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of the demo. Default: psp-demo.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Try the four commands on a small painted data set, in a few minutes: psp demo"""
    from psp.cli.console import escape, progress
    from psp.cli.console import out as console
    from psp.demo import Demo

    demo = Demo(_claimed(out))
    console.print(f"painting {demo.scenes} scenes into {escape(demo.raw)}")
    with progress("painting", quiet=False) as advance:
        for done, _ in enumerate(demo.paint(), start=1):
            advance(done, demo.scenes)
    for command in demo.commands():
        console.print(f"\n[bold]$ psp {escape(shlex.join(command))}[/]")
        if code := _run_psp(command):
            raise typer.Exit(code)
    demo.draw_sheet()
    console.print(f"\n{demo.scores()}")
    console.print(f"look at: [bold]{escape(demo.sheet)}[/] (scenes, labels, predictions)")
    console.print(f"and open [bold]{escape(demo.report)}[/] (all that evaluate found)")
    run = escape(shlex.quote(str(demo.run)))
    console.print(f"next, on your own pictures: [bold]psp predict PHOTOS -m {run}[/]")
    console.print(
        "or with a real data set: [bold]psp cards[/] lists them; then psp prepare, train, evaluate"
    )


def _claimed(out: Path | None) -> Path:
    """Make the demo's folder, which no other call makes at the same time, and return it."""
    from psp.files import make_folder, numbered_names

    candidates = numbered_names(Path("psp-demo")) if out is None else iter([out])
    for folder in candidates:
        make_folder(folder.parent)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise PspError(f"{out}: exists already. Choose another -o")


def _run_psp(command: list[str]) -> int:
    """Run a psp command as a user would and return its exit code. It alone handles Ctrl-C."""
    previous = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        call = [sys.executable, "-m", "psp", *command]
        return subprocess.run(call, env=environment_alone(), check=False).returncode
    finally:
        signal.signal(signal.SIGINT, previous)

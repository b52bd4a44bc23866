"""psp demo: the four commands on a small painted data set."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug, Json, Quiet
from psp.errors import PspError
from psp.ranks import environment_alone


def demo_command(
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of the demo. Default: psp-demo.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Try the four commands on a small painted data set, in a few minutes: psp demo"""
    from psp.cli.console import progress
    from psp.demo import Demo

    demo = Demo(_claimed(out))
    tell = _teller(as_json, quiet)
    tell(f"painting {demo.scenes} scenes into {demo.raw}")
    with progress("painting", quiet) as advance:
        for done, _ in enumerate(demo.paint(), start=1):
            advance(done, demo.scenes)
    for command in demo.commands():
        tell(f"\n$ psp {shlex.join(command)}")
        if code := _run_psp(command, as_json, quiet):
            raise typer.Exit(code)
    demo.draw_sheet()
    if as_json:
        print(json.dumps(demo.to_dict(), ensure_ascii=False))
        return
    print(f"\n{demo.scores()}")
    tell(f"look at: {demo.sheet} (scenes, labels, predictions)")
    tell(f"and open {demo.report} (all that evaluate found)")
    tell(f"next, on your own pictures: psp predict PHOTOS -m {shlex.quote(str(demo.run))}")
    tell("or with a real data set: psp cards lists them; then psp prepare, train, evaluate")


def _teller(as_json: bool, quiet: bool) -> Callable[[str], None]:
    """Return what shows a line: on stdout, beside a result as JSON on stderr, or nowhere."""
    from rich.text import Text

    from psp.cli.console import out, say

    if quiet:
        return lambda text: None
    return say if as_json else lambda text: out.print(Text(text))


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


def _run_psp(command: list[str], as_json: bool, quiet: bool) -> int:
    """Run a psp command as a user would and return its exit code. It alone handles Ctrl-C."""
    more = ["-q"] if quiet else []
    output = subprocess.DEVNULL if quiet else sys.stderr.fileno() if as_json else None
    previous = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        call = [sys.executable, "-m", "psp", *command, *more]
        return subprocess.run(call, env=environment_alone(), stdout=output, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, previous)

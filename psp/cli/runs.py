"""psp runs: the trainings here, and how far each is."""

from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug, Json


def runs_command(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of runs, or one run. Default: runs.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the trainings in a folder, the last changed first: psp runs"""
    from psp.files import json_line
    from psp.run_state import run_states
    from psp.runs import RUNS

    states = run_states(folder or RUNS) if folder or RUNS.exists() else []
    if as_json:
        print(json_line([state.to_dict() for state in states]))
        return
    from psp.cli.tables.runs import show_runs

    show_runs(states, folder or RUNS)

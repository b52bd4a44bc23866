"""psp report: the pages of a run or an evaluation, made anew."""

from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug, Json


def report_command(
    what: Annotated[
        Path,
        typer.Argument(
            help="A run, by its folder or name, or a stored evaluation (a .json file).",
            metavar="RUN",
        ),
    ],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the report of a run anew, from what is on disk: psp report voc2012-resnet50

    psp evaluate writes it too. While a run is training, it shows the curves so far.
    """
    from psp.evaluate.report import remake_report, remake_reports
    from psp.files import json_line
    from psp.runs import Run, run_folder

    paths = [remake_report(what)] if what.is_file() else remake_reports(Run(run_folder(what)))
    if as_json:
        print(json_line([str(path) for path in paths]))
        return
    from psp.cli.tables.pages import show_pages

    show_pages(paths)

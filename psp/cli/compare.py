"""psp compare: stored evaluations side by side."""

from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug, Json, Quiet, one_of


def compare_command(
    things: Annotated[
        list[Path],
        typer.Argument(
            help="Runs, by their folders or names, and stored evaluations (.json files, or folders "
            "of them). Of one run: its evaluations.",
            metavar="A B",
        ),
    ],
    evaluation: Annotated[
        str | None,
        typer.Option(
            help="Which of the runs' evaluations, such as val-ss-flip. Default: the newest that "
            "all have.",
            metavar="NAME",
        ),
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", help="table, csv, md, latex or html.", metavar="FORMAT"),
    ] = "table",
    top: Annotated[
        int,
        typer.Option(
            help="How many classes and pictures to list, those that moved most. csv and html have "
            "more.",
            min=0,
            metavar="N",
        ),
    ] = 10,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Put evaluations side by side: psp compare voc2012-resnet50 voc2012-resnet101

    Runs that differ in the seed alone become their mean and deviation. What was measured in
    different ways, or on other data, is said, and then none is marked as the best.
    """
    from psp.cli.console import listening, say
    from psp.cli.tables.comparison import FORMATS, show_comparison
    from psp.evaluate.compare import compare
    from psp.files import json_line

    chosen = one_of("--format", format_, FORMATS)
    with listening("comparing", quiet) as report:
        comparison = compare(things, evaluation, report)
    if as_json:
        print(json_line(comparison.to_dict()))
        return
    show_comparison(comparison, chosen, top)
    if chosen == "csv" and not comparison.ranked:
        say(f"measured differently: {'; '.join(comparison.differences)}")

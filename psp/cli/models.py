"""psp models: the published weights that psp fetches by name."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.options import Debug, Json, Quiet, ShowGroup
from psp.errors import PspError

if TYPE_CHECKING:
    from psp.zoo.catalog import Entry
    from psp.zoo.scorecard import Measured

models_app = typer.Typer(
    cls=ShowGroup, help="List the published weights, or show one: psp models show ade20k-r50-csail"
)


@models_app.callback(invoke_without_command=True)
def models_command(
    ctx: typer.Context,
    scores: Annotated[
        bool,
        typer.Option("--scores", help="Show each published score, and what was measured for it."),
    ] = False,
    measured: Annotated[
        Path | None,
        typer.Option(
            help="With --scores, the folder of what psp evaluate NAME -o DIR measured.",
            metavar="DIR",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the published weights that psp fetches by name: psp models"""
    if ctx.invoked_subcommand is not None:
        return
    from psp.zoo.catalog import entries

    catalog = list(entries().values())
    if scores or measured:
        _show_scores(catalog, measured, as_json)
        return
    if as_json:
        print(json.dumps([entry.to_dict() for entry in catalog], ensure_ascii=False))
        return
    from psp.cli.tables.models import show_models

    show_models(catalog)


def _show_scores(catalog: "list[Entry]", folder: Path | None, as_json: bool) -> None:
    from psp.zoo.scorecard import scorecard

    rows = scorecard(catalog, _measured(folder) if folder else ())
    if as_json:
        print(json.dumps([row.to_dict() for row in rows], ensure_ascii=False))
        return
    from psp.cli.tables.models import show_scorecard

    show_scorecard(rows)


def _measured(folder: Path) -> "list[Measured]":
    """Return the evaluations stored in a folder. Raises PspError if it has none."""
    from psp.evaluate.record import stored_records
    from psp.zoo.scorecard import Measured

    records, others = stored_records(folder)
    if not records:
        raise PspError(
            others[0]
            if others
            else f"{folder}: no evaluation is stored there. Make one: psp evaluate NAME --data "
            f"SHARDS -o {folder}"
        )
    return [
        Measured(
            weights=record.weights,
            dataset=record.dataset,
            split=record.split,
            images=record.images,
            procedure=record.how(),
            miou=100 * record.scores["miou"],
            psp=record.versions.get("psp", ""),
            date=f"{datetime.fromtimestamp(record.path.stat().st_mtime, UTC):%Y-%m-%d}",
            path=record.path,
        )
        for record in records
    ]


@models_app.command("show")
def models_show_command(
    name: Annotated[str, typer.Argument(help="A name from the list of psp models.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the source, terms and scores of an entry: psp models show ade20k-r50-csail"""
    from psp.zoo.catalog import published_as

    entry = published_as(name)
    if as_json:
        print(json.dumps(entry.to_dict(), ensure_ascii=False))
        return
    from psp.cli.tables.models import show_entry

    show_entry(entry)


@models_app.command("fetch")
def models_fetch_command(
    names: Annotated[list[str], typer.Argument(help="Names from the list of psp models.")],
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to, for a machine without a network. Default: the cache.",
            metavar="DIR",
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Fetch published weights before they are used: psp models fetch ade20k-r50-csail --to weights

    There, name the file that is printed, or set PSP_CACHE=DIR and use the name. With PSP_OFFLINE=1,
    psp downloads nothing.
    """
    from psp.cli.console import fetching
    from psp.zoo.catalog import published_as
    from psp.zoo.published import obtain, obtain_into

    for entry in [published_as(name) for name in names]:  # all names are good before the first byte
        with fetching(quiet) as report:
            print(obtain_into(entry, to, report) if to else obtain(entry, report))

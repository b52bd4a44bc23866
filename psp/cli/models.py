"""psp models: the published weights that psp fetches by name."""

import json
from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug, Json, Quiet, ShowGroup

models_app = typer.Typer(
    cls=ShowGroup, help="List the published weights, or show one: psp models show ade20k-r50-csail"
)


@models_app.callback(invoke_without_command=True)
def models_command(ctx: typer.Context, as_json: Json = False, debug: Debug = False) -> None:
    """List the published weights that psp fetches by name: psp models"""
    if ctx.invoked_subcommand is not None:
        return
    from psp.zoo.catalog import entries

    catalog = list(entries().values())
    if as_json:
        print(json.dumps([entry.to_dict() for entry in catalog], ensure_ascii=False))
        return
    from psp.cli.tables.models import show_models

    show_models(catalog)


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

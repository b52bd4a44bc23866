"""psp models: the published weights that psp fetches by name."""

import json
from typing import Annotated

import typer

from psp.cli.options import Debug, Json, ShowGroup
from psp.errors import PspError, nearest

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
    from psp.zoo.catalog import entries

    known = entries()
    if name not in known:
        raise PspError(
            f"no published weights are called '{name}'.{nearest(name, known)} See: psp models"
        )
    if as_json:
        print(json.dumps(known[name].to_dict(), ensure_ascii=False))
        return
    from psp.cli.tables.models import show_entry

    show_entry(known[name])

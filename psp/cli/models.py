"""psp models: the published weights that psp fetches by name."""

import json
from typing import Annotated

import typer

from psp.cli.options import Debug, Json, Shown
from psp.errors import PspError, nearest

models_app = typer.Typer(
    cls=Shown, help="List published weights, or show an entry: psp models show ade20k-r50-csail"
)


@models_app.callback(invoke_without_command=True)
def models(ctx: typer.Context, as_json: Json = False, debug: Debug = False) -> None:
    """List the published weights that psp fetches by name: psp models"""
    if ctx.invoked_subcommand is not None:
        return
    from psp.zoo.catalog import entries

    found = list(entries().values())
    if as_json:
        print(json.dumps([entry.to_dict() for entry in found], ensure_ascii=False))
        return
    from psp.cli.tables import show_models

    show_models(found)


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="A name of psp models.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show addresses, terms and scores of published weights: psp models show ade20k-r50-csail"""
    from psp.zoo.catalog import entries

    known = entries()
    if name not in known:
        raise PspError(
            f"no published weights are called '{name}'.{nearest(name, known)} See: psp models"
        )
    if as_json:
        print(json.dumps(known[name].to_dict(), ensure_ascii=False))
        return
    from psp.cli.tables import show_entry

    show_entry(known[name])

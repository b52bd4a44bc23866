"""psp inspect: what is in a folder of shards or in a model."""

import json
from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug, Json, model_named
from psp.errors import PspError, nearest


def inspect(
    thing: Annotated[
        Path,
        typer.Argument(help="A folder of shards, a run, a weights file, or a name of psp models."),
    ],
    sheet: Annotated[
        Path | None,
        typer.Option(help="Draw pictures and their labels into this PNG file.", metavar="PNG"),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split for --sheet; default: the first.", metavar="NAME")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what is in shards or a model: psp inspect data/voc2012 --sheet sheet.png"""
    from psp.zoo.catalog import entries
    from psp.zoo.find import is_published

    if not thing.exists() and not is_published(thing):
        raise PspError(
            f"{thing}: nothing is there, and no published weights are called so."
            f"{nearest(str(thing), entries())} See: psp models. Or make shards: "
            f"psp prepare CARD RAW -o {thing}"
        )
    if not thing.is_dir() or (thing / "config.json").is_file():
        if sheet is not None or split is not None:
            raise PspError(f"{thing}: a model; --sheet and --split are for shards.")
        _inspect_model(thing, as_json)
        return
    from psp.data.statistics import read_statistics

    statistics = read_statistics(thing)
    if split is not None and sheet is None:
        raise PspError(f"--split {split}: chooses the pictures of --sheet; add --sheet PNG.")
    if sheet is not None:
        from psp.cli.console import say
        from psp.data.contact_sheet import contact_sheet
        from psp.data.shards import ShardSplit
        from psp.files import atomic_write
        from psp.images import encode_png

        if sheet.suffix.lower() != ".png":
            raise PspError(f"--sheet {sheet}: must end in .png")
        page = contact_sheet(ShardSplit(thing, split or statistics.splits[0].name))
        with atomic_write(sheet) as temporary:
            temporary.write_bytes(encode_png(page))
        say(f"drawn: {sheet}")
    if as_json:
        print(json.dumps(statistics.to_dict(), ensure_ascii=False))
        return
    from psp.cli.tables import show_source, show_statistics

    show_source(statistics)
    show_statistics(statistics)


def _inspect_model(name: Path, as_json: bool) -> None:
    from psp.cli.tables import show_model
    from psp.model.summary import summarize

    model = model_named(name)
    found = summarize(model.path, model.which)
    if as_json:
        print(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        show_model(found)

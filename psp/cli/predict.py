"""psp predict: write label maps and overlays of pictures."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    WhichWeights,
    WindowBatch,
    model_named,
    one_of,
    procedure_of,
    which_weights,
)
from psp.errors import PspError, printable

if TYPE_CHECKING:
    from psp.predict.pipeline import PredictResult
    from psp.ranks import Share
    from psp.runs import Model

STANDARD_INPUT = Path("-")


def predict_command(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Pictures, folders with their subfolders, or patterns; - reads a list from stdin."
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "-m",
            "--model",
            help="A run, a weights file, or a name from psp models. Default: the newest run.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for the results. Default: IMAGES-predicted."),
    ] = None,
    weights: WhichWeights = None,
    multi_scale: MultiScale = False,
    scales: Scales = None,
    flip: Flip = False,
    crop: Crop = None,
    base_size: BaseSize = None,
    procedure: ProcedureName = "torch",
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="Also write every class's probability: probabilities/NAME.npz."
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Redo everything and overwrite results in --out."),
    ] = False,
    part: Annotated[
        str | None,
        typer.Option(
            help="Do only a share of the pictures, e.g. 3/64: the third of 64.",
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
    """Write label maps and overlays of pictures: psp predict photos/ -m runs/voc2012-resnet50

    The same command again does only what is not finished yet. With --part, several machines share
    one folder of results.
    """
    from psp.cli.console import progress, say
    from psp.predict.inputs import default_out, find_pictures
    from psp.predict.pipeline import Predicted
    from psp.ranks import local_device, rank_share, share_from, within

    rank = rank_share()
    share = within(share_from(part), rank) if part else rank
    listed = _listed_pictures(images, rank.total)
    images = [path for path in images if path != STANDARD_INPUT]
    pictures = find_pictures(images, listed)
    source = model_named(model, which_weights(weights), quiet or not rank.first)
    from psp.device import pick_device
    from psp.predict.pipeline import predict

    if model is None and rank.first and not quiet:
        say(f"model: {source.path.parent}, the newest run")
    with progress("predicting", quiet or not rank.first) as advance:

        def report(event: Predicted) -> None:
            if event.error or verbose:
                say(printable(event.error or f"{event.name}: {event.seconds:.2f}s"))
            advance(event.done, event.total)

        try:
            result = predict(
                pictures,
                source.path,
                out or default_out(images if not listed else []),
                numbering=out is None,
                overwrite=overwrite,
                probabilities=probabilities,
                share=share,
                procedure=procedure_of(scales, multi_scale, flip, crop, base_size, procedure),
                device=pick_device(local_device(device)),
                precision=one_of("--precision", precision, PRECISIONS),
                window_batch=window_batch,
                compiled=compiled,
                report=report,
            )
        except KeyboardInterrupt:
            say("stopped. The same command continues with the remaining pictures")
            raise typer.Exit(128 + signal.SIGINT) from None
    if as_json:
        _print_json(result, share)
    elif rank.first:
        print(printable(str(result.out)))
    if rank.first and not quiet:
        _say_result(result, source)
    if result.failed:
        say(f"{_pictures(result.failed)} failed, listed above")
        raise typer.Exit(3)


def _print_json(result: "PredictResult", share: "Share") -> None:
    from psp.files import json_line

    record = {
        "out": str(result.out),
        "part": str(share),
        "predicted": list(result.predicted),
        "skipped": list(result.skipped),
        "failed": [{"name": name, "error": error} for name, error in result.failed],
    }
    print(json_line(record))


def _say_result(result: "PredictResult", model: "Model") -> None:
    from psp.cli.console import say
    from psp.cli.tables.scores import procedure_line

    if result.skipped:
        say(f"{_pictures(result.skipped)} predicted already, and skipped")
    say(f"{_pictures(result.predicted)} predicted: labels/, overlays/ and more in {result.out}")
    how = procedure_line(model.which, result.header, result.procedure, result.precision)
    say(f"{model.path.parent if model.run else model.path}: {how}")


def _listed_pictures(images: list[Path], ranks: int) -> list[Path]:
    """Return the files named by the list on standard input, if `-` is one of the inputs."""
    if STANDARD_INPUT not in images:
        return []
    from psp.predict.inputs import read_list

    if ranks > 1:
        raise PspError(
            "-: torchrun's ranks cannot share one list. Start separate processes with --part K/N"
        )
    if sys.stdin.isatty():
        raise PspError("-: expects a list of files, e.g. from: ls photos/*.jpg | psp predict -")
    listed = read_list(sys.stdin.buffer.read())
    if not listed:
        raise PspError("-: the list on standard input is empty.")
    return listed


def _pictures(items: Sequence[object]) -> str:
    return "1 picture" if len(items) == 1 else f"{len(items)} pictures"

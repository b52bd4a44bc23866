"""psp predict: write label maps and overlays of pictures."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.inputs import find_inputs, pictures_and_model
from psp.cli.options import (
    ADVANCED,
    PRECISIONS,
    BaseSize,
    Blend,
    Compile,
    Crop,
    Debug,
    Device,
    EngineName,
    Flip,
    Json,
    MultiScale,
    Part,
    Precision,
    ProcedureName,
    Quiet,
    Resize,
    Scales,
    Stride,
    Verbose,
    WhichWeights,
    WindowBatch,
    Windows,
    choice_of,
    model_named,
    one_of,
    which_weights,
)
from psp.cli.outputs import Outputs, outputs_of
from psp.errors import PspError, printable
from psp.predict.writers.registry import DEFAULT, WRITERS
from psp.ranks import Share, connected, local_device, own_share, rank_share, sum_over_ranks

if TYPE_CHECKING:
    import torch

    from psp.predict.pipeline import PredictRequest, PredictResult
    from psp.runs import Model


def predict_command(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Pictures, folders with their subfolders, or patterns; - reads a list from stdin. "
            "Or a video."
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "-m",
            "--model",
            help="A run or its name, a weights or .onnx file, or a name from psp models. Default, "
            "on a terminal: the newest finished run.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Folder for the results. Default: IMAGES-predicted. For one picture also a file: "
            "result.png or .jpg, its overlay alone.",
        ),
    ] = None,
    weights: WhichWeights = None,
    multi_scale: MultiScale = False,
    scales: Scales = None,
    flip: Flip = None,
    crop: Crop = None,
    base_size: BaseSize = None,
    windows: Windows = None,
    stride: Stride = None,
    resize: Resize = None,
    blend: Blend = None,
    procedure: ProcedureName = None,
    write: Annotated[
        str | None,
        typer.Option(
            help=f"What to write, of: {', '.join(WRITERS)}. Default: {','.join(DEFAULT)}.",
            metavar="LIST",
        ),
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="Also write every class's probability: probabilities/NAME.npz."
        ),
    ] = False,
    rank_by: Annotated[
        str | None,
        typer.Option(
            "--rank",
            help="uncertain: also write uncertain.csv, the pictures to label next first.",
            metavar="BY",
        ),
    ] = None,
    overlay_style: Annotated[
        str | None,
        typer.Option(
            help="tint, outline, or side-by-side: the photo beside the tint. Default: tint.",
            metavar="STYLE",
        ),
    ] = None,
    overlay_strength: Annotated[
        float | None,
        typer.Option(
            help="How much the colors cover the photo, 0 to 1. Default: 0.5; outline: 1.",
            metavar="X",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Redo everything and overwrite results in --out."),
    ] = False,
    gallery: Annotated[
        bool,
        typer.Option(
            "--gallery/--no-gallery",
            help="Also make index.html, a page to look through the pictures; never with --part.",
        ),
    ] = True,
    every: Annotated[
        int,
        typer.Option(help="Of a video, every Nth frame.", metavar="N", min=1),
    ] = 1,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Make a video of pictures, as its frames in the order of their names.",
            metavar="RATE",
            min=1,
            max=240,
        ),
    ] = None,
    part: Part = None,
    pack: Annotated[
        str | None,
        typer.Option(
            help="tar: put the pictures' files into one tar for each kind, of each share: "
            "labels.tar.",
            metavar="HOW",
            rich_help_panel=ADVANCED,
        ),
    ] = None,
    precision: Precision = "auto",
    engine: EngineName = None,
    window_batch: WindowBatch = None,
    compiled: Compile = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Write label maps and overlays of pictures: psp predict photos/ -m voc2012-resnet50

    Of a video, an overlay video, and label maps with --write labels: psp predict clip.mp4

    The model can also stand before the pictures: psp predict voc2012-resnet50 photos/

    The same command again does only what is not finished yet. With --part, several machines share
    one folder of results.
    """
    from psp.predict.pipeline import PredictRequest

    (images, model), rank = pictures_and_model(images, model), rank_share()
    silent = quiet or not rank.first
    named, pictures, left_out = find_inputs(images, rank, silent)
    source, outputs = _find_model(model, weights, silent), outputs_of(locals(), rank.total)
    request = PredictRequest(
        pictures=pictures,
        weights=source.path,
        out=outputs.out,
        numbering=out is None,
        overwrite=overwrite,
        writers=outputs.writers,
        pack=pack is not None,
        overlay=outputs.overlay,
        left_out=left_out,
        share=own_share(part),
        procedure=choice_of(locals(), predicting=True),
        device=_pick_device(device),
        precision=one_of("--precision", precision, PRECISIONS),
        engine=engine,
        window_batch=window_batch,
        compiled=compiled,
    )
    _run(request, outputs, every, source, rank, (as_json, quiet, verbose))


def _run(
    request: "PredictRequest",
    outputs: Outputs,
    every: int,
    source: "Model",
    rank: Share,
    told: tuple[bool, bool, bool],
) -> None:
    from psp.cli.tables.predictions import show_predictions
    from psp.cli.video import predict_film

    as_json, quiet, verbose = told
    if outputs.film is not None:
        predict_film(request, outputs.film, every, source, quiet, as_json)
        return
    silent = quiet or not rank.first
    result, counts = _predict(request, outputs.to_file, rank, silent, verbose)
    show_predictions(result, counts, request, source, rank, as_json, quiet, request.left_out)


def _predict(
    request: "PredictRequest", to_file: bool, rank: Share, silent: bool, verbose: bool
) -> tuple["PredictResult", list[int]]:
    """Do it, with a bar, and a line for each picture that fails.

    Returns this rank's result, and how many pictures all ranks have predicted, skipped and failed.
    """
    from psp.cli.console import progress, say
    from psp.events import Notice, Progress
    from psp.predict.one_file import predict_to_file
    from psp.predict.pipeline import Predicted, predict

    if to_file:
        return predict_to_file(request), [1, 0, 0]
    together = connected(rank)
    done, total = 0, 0
    with progress("predicting", silent) as advance:

        def report(event: Predicted | Progress | Notice) -> None:
            nonlocal done, total
            if isinstance(event, Notice):
                if verbose:
                    say(event.text)
                return
            if isinstance(event, Progress):
                advance(done, total or len(request.pictures), (event.done, event.total or 1))
                return
            done, total = event.done, event.total
            if event.error or verbose:
                say(printable(event.error or f"{event.name}: {event.seconds:.2f}s"))
            advance(event.done, event.total)

        result = predict(request, report)
    lists = (result.predicted, result.skipped, result.failed)
    return result, sum_over_ranks(together, list(map(len, lists)))


def _find_model(model: Path | None, weights: str | None, silent: bool) -> "Model":
    """Return the model, and say which one it is if none is named."""
    from psp.cli.console import say

    which = which_weights(weights)
    if model is None:
        _check_that_somebody_looks(silent)
    source = model_named(model, which, silent)
    if model is None:
        say(f"model: {source.path.parent}, the newest finished run")
    return source


def on_terminal() -> bool:
    """Whether remarks are shown on a terminal."""
    return sys.stderr.isatty()


def _check_that_somebody_looks(silent: bool) -> None:
    """Raise PspError where nobody would see which model is taken: a script has to name it."""
    from psp.run_state import newest_finished

    newest = newest_finished()
    if silent or not on_terminal():
        raise PspError(
            f"name the model with -m MODEL: without it, the newest finished run is taken only on "
            f"a terminal, where that is said. It is {newest}: -m {newest}"
        )


def _pick_device(device: str) -> "torch.device":
    from psp.device import pick_device

    return pick_device(local_device(device))

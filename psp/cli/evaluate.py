"""psp evaluate: score a model on a labeled split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.options import (
    ADVANCED,
    PRECISIONS,
    BaseSize,
    Blend,
    Compile,
    Crop,
    Debug,
    Device,
    Flip,
    Json,
    ModelName,
    MultiScale,
    Precision,
    ProcedureName,
    Quiet,
    Resize,
    Scales,
    Stride,
    WhichWeights,
    WindowBatch,
    Windows,
    choice_of,
    model_named,
    one_of,
    which_weights,
)
from psp.errors import PspError

if TYPE_CHECKING:
    from psp.evaluate.evaluation import Evaluation
    from psp.runs import Model


def evaluate_command(
    model: ModelName,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Shards to score on, a folder or a name under data/. Default: those the model "
            "was trained with.",
            metavar="DIR",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split to score. Default: the validation split.", metavar="NAME"),
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
    as_predict: Annotated[
        bool,
        typer.Option(
            "--as-predict",
            help="Score what psp predict writes: by its defaults (no flip, no seams).",
        ),
    ] = False,
    save_labels: Annotated[
        Path | None,
        typer.Option(help="Also write label files for the data set's leaderboard.", metavar="DIR"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Folder for the result and its report. Default: evaluations/ in the run's folder; "
            "of weights that belong to no run, nothing is stored.",
            metavar="DIR",
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report", help="Also write the result as a page, with pictures."
        ),
    ] = True,
    worst: Annotated[
        int,
        typer.Option(
            help="How many of the worst pictures to list.",
            min=0,
            metavar="N",
            rich_help_panel=ADVANCED,
        ),
    ] = 5,
    precision: Precision = "auto",
    window_batch: WindowBatch = None,
    compiled: Compile = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score a model: psp evaluate voc2012-resnet50

    To share the work among 8 GPUs: torchrun --nproc-per-node 8 -m psp evaluate MODEL
    """
    from psp.cli.console import listening
    from psp.ranks import local_device, rank_share

    rank = rank_share()
    source = _source(model, data, weights, quiet or not rank.first)
    from psp.device import pick_device
    from psp.evaluate.evaluate import EvaluateRequest, evaluate

    request = EvaluateRequest(
        model=source,
        data=data,
        split=split,
        procedure=choice_of(locals(), predicting=as_predict),
        device=pick_device(local_device(device)),
        precision=one_of("--precision", precision, PRECISIONS),
        window_batch=window_batch,
        compiled=compiled,
        save_labels=save_labels,
        out=out,
        report=report,
        share=rank,
    )
    with listening("evaluating", quiet or not rank.first) as listen:
        evaluation = evaluate(request, listen)
    _show(evaluation, worst, as_json, quiet)


def _source(model: Path, data: Path | None, weights: str | None, quiet: bool) -> "Model":
    """Return the model to score. Raises PspError before hundreds of MB are fetched in vain."""
    from psp.zoo.find import is_published

    if data is None and is_published(model):
        raise PspError(
            f"{model}: published weights do not say where your shards are. Add --data SHARDS"
        )
    return model_named(model, which_weights(weights), quiet)


def _show(evaluation: "Evaluation | None", worst: int, as_json: bool, quiet: bool) -> None:
    if evaluation is None:  # only the first rank has the sums, and shows them
        return
    from psp.cli.tables.scores import show_evaluation, show_remarks
    from psp.files import json_line

    if as_json:
        print(json_line(evaluation.to_dict()))
    else:
        show_evaluation(evaluation, worst)
    if not quiet:
        show_remarks(evaluation)

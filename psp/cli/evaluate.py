"""psp evaluate: score a model on a labeled split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    EngineName,
    Flip,
    Json,
    MultiScale,
    Precision,
    ProcedureName,
    Quiet,
    Resize,
    Scales,
    ScorableModel,
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
    from psp.evaluate.record import EvaluationRecord
    from psp.model.procedure import Procedure
    from psp.model.weights import Header
    from psp.runs import Model

# Options of which --check takes the values from the file.
_FIXED = (
    *("split", "multi_scale", "scales", "flip", "crop", "base_size", "windows", "stride"),
    *("resize", "blend", "procedure", "as_predict"),
)


def evaluate_command(
    model: ScorableModel,
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
        typer.Option(
            help="Also write label files for the data set's leaderboard, into a folder or an "
            "archive as its server takes it: upload.zip, upload.tgz.",
            metavar="PATH",
        ),
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
    min_miou: Annotated[
        float | None,
        typer.Option(
            help="The mIoU in percent that must be reached: exit code 1 below it.",
            metavar="PERCENT",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            help="Measure a stored evaluation (.json) again, by its procedure, and say where the "
            "result differs: exit code 1 then.",
            metavar="FILE",
        ),
    ] = None,
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
    engine: EngineName = None,
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
    from psp.device import pick_device
    from psp.evaluate.evaluate import EvaluateRequest, evaluate
    from psp.ranks import local_device, rank_share

    how, rank = _how(locals(), model, check), rank_share()
    request = EvaluateRequest(
        model=_source(model, data, how.weights, quiet or not rank.first),
        data=data,
        split=how.split,
        procedure=how.procedure,
        device=pick_device(local_device(device)),
        precision=how.precision,
        engine=how.engine,
        window_batch=window_batch,
        compiled=compiled,
        save_labels=save_labels,
        out=out,
        report=report,
        against=how.against,
        share=rank,
    )
    with listening("evaluating", quiet or not rank.first) as listen:
        evaluation = evaluate(request, listen)
    _show(evaluation, how, worst, as_json, quiet)


@dataclass(frozen=True)
class _How:
    """What the options say of how to measure, and of what must come out."""

    weights: str | None
    split: str | None
    procedure: "Callable[[Header], Procedure]"
    precision: str
    engine: str | None = None
    against: "EvaluationRecord | None" = None
    min_miou: float | None = None


def _how(options: dict[str, Any], model: Path, check: Path | None) -> _How:
    """Return what the command's variables ask for; with --check, what the file says.

    Raises PspError for options that contradict the file, before anything is measured.
    """
    from psp.evaluate.goal import check_goal

    goal, weights = options["min_miou"], which_weights(options["weights"])
    precision = one_of("--precision", options["precision"], PRECISIONS)
    check_goal(goal)
    if check is None:
        procedure = choice_of(options, predicting=options["as_predict"])
        engine = options["engine"]
        return _How(weights, options["split"], procedure, precision, engine, min_miou=goal)
    from psp.evaluate.recheck import same_procedure
    from psp.evaluate.record import read_record
    from psp.model.onnx_metadata import is_onnx
    from psp.zoo.find import is_run

    if given := [name for name in _FIXED if _given(options, name)]:
        raise PspError(
            f"--check {check}: the procedure and the split are those of the file. Leave out "
            f"--{given[0].replace('_', '-')}"
        )
    record = read_record(check)
    # An ONNX file is compared with what torch measured, and another engine with the first.
    engine = options["engine"]
    same = engine in (None, record.engine) and not (record.engine == "torch" and is_onnx(model))
    return _How(
        weights or (record.weights if is_run(model) and record.weights == "last" else None),
        record.split,
        same_procedure(record),
        record.arithmetic if precision == "auto" and same else precision,
        record.engine if same else engine,
        record,
        goal,
    )


def _given(options: dict[str, Any], name: str) -> bool:
    """Whether an option was given; --no-flip is False, and given."""
    return options[name] is not None if name == "flip" else options[name] not in (None, False)


def _source(model: Path, data: Path | None, weights: str | None, quiet: bool) -> "Model":
    """Return the model to score. Raises PspError before hundreds of MB are fetched in vain."""
    from psp.zoo.find import is_published

    if data is None and is_published(model):
        raise PspError(
            f"{model}: published weights do not say where your shards are. Add --data SHARDS"
        )
    return model_named(model, weights, quiet)


def _show(
    evaluation: "Evaluation | None", how: _How, worst: int, as_json: bool, quiet: bool
) -> None:
    if evaluation is None:  # only the first rank has the sums, and shows them
        return
    from psp.cli.console import show_error
    from psp.cli.tables.scores import show_evaluation, show_recheck, show_remarks
    from psp.evaluate.goal import missed_by
    from psp.evaluate.recheck import recheck
    from psp.files import json_line

    checked = recheck(evaluation, how.against) if how.against else None
    if as_json:
        extra = {"check": checked.to_dict()} if checked else {}
        print(json_line(evaluation.to_dict() | extra))
    else:
        show_evaluation(evaluation, worst)
        if checked:
            show_recheck(checked)
    if not quiet:
        show_remarks(evaluation)
    missed = missed_by(evaluation, how.min_miou) if how.min_miou is not None else ""
    if missed:
        show_error(missed)
    if missed or (checked and checked.differences):
        raise typer.Exit(1)

"""psp evaluate: the scores of a trained network."""

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
    Which,
    WindowBatch,
    model_named,
    one_of,
    procedure_of,
    which_weights,
)
from psp.errors import PspError


def evaluate(
    model: Annotated[
        Path, typer.Argument(help="A run's folder, a weights file, or a name of psp models.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Shards; default: those it was trained with.", metavar="DIR")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split; default: the validation split.", metavar="NAME")
    ] = None,
    weights: Which = None,
    multi_scale: MultiScale = False,
    scales: Scales = None,
    flip: Flip = True,
    crop: Crop = None,
    base_size: BaseSize = None,
    procedure: ProcedureName = "torch",
    save_labels: Annotated[
        Path | None,
        typer.Option(help="Write label files for the set's leaderboard too.", metavar="DIR"),
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
    window_batch: WindowBatch = None,
    compiled: Compile = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score a model on its own validation split: psp evaluate runs/voc2012-resnet50

    Several GPUs share the pictures: torchrun --nproc-per-node 8 -m psp evaluate MODEL.
    """
    from psp.cli.console import progress, say
    from psp.cli.tables import show_evaluation
    from psp.files import json_line
    from psp.ranks import local_device, rank_share
    from psp.zoo.find import is_published

    if data is None and is_published(model):  # said before hundreds of MB are fetched
        raise PspError(f"{model}: published weights do not know your shards. Add --data SHARDS")
    rank = rank_share()
    found = model_named(model, which_weights(weights), quiet or not rank.first)
    from psp.device import pick_device
    from psp.evaluate.evaluate import evaluate as run

    with progress("evaluating", quiet or not rank.first) as advance:
        evaluation = run(
            found,
            data=data,
            split=split,
            procedure=procedure_of(scales, multi_scale, flip, crop, base_size, procedure),
            device=pick_device(local_device(device)),
            precision=one_of("--precision", precision, PRECISIONS),
            window_batch=window_batch,
            compiled=compiled,
            save_labels=save_labels,
            rank=rank,
            report=advance,
        )
    if evaluation is None:  # the first rank speaks for all
        return
    if as_json:
        print(json_line(evaluation.to_dict()))
    else:
        show_evaluation(evaluation, worst)
    if not quiet:
        if not evaluation.same_data:
            known = evaluation.header.data  # "" of imported weights
            verb = "are not" if known else "may not be"
            say(f"these {verb} the shards that the model was trained with")
        if evaluation.saved:
            say(f"saved: {evaluation.saved}")
        if evaluation.labels:
            say(f"label files: {evaluation.labels}")

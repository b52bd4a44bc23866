"""psp suspects: masks of one's own set that the trained network contradicts."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import (
    BaseSize,
    Crop,
    Debug,
    Device,
    Flip,
    Json,
    ModelName,
    Precision,
    Quiet,
    WhichWeights,
    model_named,
    which_weights,
)


def suspects_command(
    model: ModelName,
    data: Annotated[
        Path | None,
        typer.Option(help="Shards. Default: those the model was trained with.", metavar="DIR"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split to look at. Default: every labeled one.", metavar="NAME"),
    ] = None,
    number: Annotated[int, typer.Option("-n", help="How many to list.", min=1, metavar="N")] = 20,
    weights: WhichWeights = None,
    flip: Flip = None,
    crop: Crop = None,
    base_size: BaseSize = None,
    precision: Precision = "auto",
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List masks that the network contradicts with confidence, worst first: psp suspects town

    Look at these first: masks that were shifted, swapped, left empty or drawn carelessly come
    before those that are only hard. A network that was trained for long has learned the faults
    too, so validation pictures tell more.
    """
    from psp.cli.console import listening
    from psp.device import pick_device
    from psp.evaluate.suspects import find_suspects
    from psp.model.choice import Choice
    from psp.model.weights import read_header

    source = model_named(model, which_weights(weights), quiet)
    procedure = Choice(flip=flip, crop=crop, base_size=base_size)
    with listening("looking at masks", quiet) as report:
        found = find_suspects(
            source,
            procedure(read_header(source.path)),
            pick_device(device),
            data=data,
            splits=(split,) if split else None,
            precision=precision,
            report=report,
        )[:number]
    if as_json:
        print(json.dumps([asdict(item) for item in found], ensure_ascii=False))
        return
    from psp.cli.tables.scores import show_suspects

    show_suspects(found)

"""psp evaluate and psp predict: what a trained network makes of pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.options import ADVANCED, Debug, Device, Json, Quiet, Verbose, one_of
from psp.errors import PspError

if TYPE_CHECKING:
    from psp.infer import Protocol
    from psp.weights import Header

PRECISIONS = ("auto", "fp32", "bf16")

Precision = Annotated[
    str, typer.Option(help="auto (bf16 where the hardware has it), fp32 or bf16.")
]
Which = Annotated[
    str | None, typer.Option(help="Which of a run's weights: best (default) or last.")
]
Scales = Annotated[
    str | None, typer.Option(help="Scales to average over, such as 0.75,1.0,1.25.", metavar="LIST")
]
MultiScale = Annotated[
    bool, typer.Option("--multi-scale", help="The paper's scales 0.5 to 1.75, six of them.")
]
Flip = Annotated[bool, typer.Option("--flip/--no-flip", help="Average with the mirrored view.")]
Crop = Annotated[
    int | None, typer.Option(help="Side of the window; default: as trained.", metavar="N")
]
BaseSize = Annotated[
    int | None,
    typer.Option(help="Long side of pictures at scale 1; default: as trained.", metavar="N"),
]
Way = Annotated[
    str,
    typer.Option(
        "--protocol",
        help="Which of the authors' two test procedures: torch or caffe.",
        rich_help_panel=ADVANCED,
    ),
]
WindowBatch = Annotated[
    int | None,
    typer.Option(
        help="Windows that go through the network at a time, mirrored ones counted.",
        metavar="N",
        rich_help_panel=ADVANCED,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the network first (a minute): for many pictures on a GPU.",
        rich_help_panel=ADVANCED,
    ),
]


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run's folder or a weights file.")],
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
    way: Way = "torch",
    precision: Precision = "auto",
    window_batch: WindowBatch = None,
    compiled: Compile = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score a model on its own validation split: psp evaluate runs/voc2012-resnet50"""
    from psp.display import progress, say
    from psp.runs import find_model
    from psp.tables import show_evaluation

    found = find_model(model, _which(weights))
    from psp.device import pick_device
    from psp.evaluate import evaluate as run

    with progress("evaluating", quiet) as advance:
        evaluation = run(
            found,
            data=data,
            split=split,
            protocol=_protocol(scales, multi_scale, flip, crop, base_size, way),
            device=pick_device(device),
            precision=one_of("--precision", precision, PRECISIONS),
            window_batch=window_batch,
            compiled=compiled,
            report=advance,
        )
    if as_json:
        print(json.dumps(evaluation.to_dict(), ensure_ascii=False))
    else:
        show_evaluation(evaluation)
    if not quiet:
        if not evaluation.same_data:
            known = evaluation.header.data  # "" of imported weights
            verb = "are not" if known else "may not be"
            say(f"these {verb} the shards that the model was trained with")
        if evaluation.saved:
            say(f"saved: {evaluation.saved}")


def predict(
    images: Annotated[
        list[Path], typer.Argument(help="A folder (its sub-folders too), or pictures.")
    ],
    model: Annotated[
        Path | None,
        typer.Option("-m", "--model", help="A run or weights file; default: the newest run."),
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
    way: Way = "torch",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Write into --out though it exists, over the same names."),
    ] = False,
    precision: Precision = "auto",
    window_batch: WindowBatch = None,
    compiled: Compile = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Parse pictures into label maps and overlays: psp predict photos/ -m runs/voc2012-resnet50"""
    from psp.display import progress, say
    from psp.predict import Parsed, default_out, find_pictures
    from psp.runs import find_model
    from psp.tables import protocol_line

    pictures = find_pictures(images)
    found = find_model(model, _which(weights))
    from psp.device import pick_device
    from psp.predict import predict as run

    remark = (lambda text: None) if quiet else say
    if model is None:
        remark(f"model: {found.path.parent}, the newest run")
    with progress("predicting", quiet) as advance:

        def report(event: Parsed) -> None:
            if event.error or verbose:
                say(event.error or f"{event.name}: {event.seconds:.2f}s")
            advance(event.done, event.total)

        result = run(
            pictures,
            found.path,
            out or default_out(images),
            overwrite=overwrite,
            protocol=_protocol(scales, multi_scale, flip, crop, base_size, way),
            device=pick_device(device),
            precision=one_of("--precision", precision, PRECISIONS),
            window_batch=window_batch,
            compiled=compiled,
            report=report,
        )
    if as_json:
        failed = [{"name": name, "error": error} for name, error in result.failed]
        record = {"out": str(result.out), "parsed": list(result.parsed), "failed": failed}
        print(json.dumps(record, ensure_ascii=False))
    else:
        print(result.out)
    remark(
        f"{len(result.parsed)} pictures parsed: labels/, overlays/ and legend.png in {result.out}"
    )
    how = protocol_line(found.which, result.header, result.protocol, result.precision)
    remark(f"{found.path.parent if found.run else found.path}: {how}")
    if result.failed:
        say(f"{len(result.failed)} pictures failed, listed above")
        raise typer.Exit(3)


def _which(weights: str | None) -> str | None:
    return weights and one_of("--weights", weights, ("best", "last"))


def _protocol(
    scales: str | None,
    multi_scale: bool,
    flip: bool,
    crop: int | None,
    base_size: int | None,
    way: str,
) -> Callable[["Header"], "Protocol"]:
    """Return the test protocol as a function of what the weights say of themselves."""
    from psp.infer import PAPER_SCALES, Protocol

    if scales and multi_scale:
        raise PspError("--scales and --multi-scale: give one of them.")
    try:
        factors = tuple(float(part) for part in scales.split(",")) if scales else (1.0,)
    except ValueError:
        raise PspError(f"--scales {scales}: numbers such as 0.75,1.0,1.25.") from None

    def choose(header: "Header") -> Protocol:
        return Protocol(
            crop=header.crop if crop is None else crop,
            base_size=header.base_size if base_size is None else base_size,
            scales=PAPER_SCALES if multi_scale else factors,
            flip=flip,
            way=way,
        )

    return choose

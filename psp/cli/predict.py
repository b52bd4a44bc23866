"""psp evaluate and psp predict: what a trained network makes of pictures."""

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.options import (
    ADVANCED,
    Debug,
    Device,
    Json,
    Quiet,
    Verbose,
    model_named,
    one_of,
)
from psp.errors import PspError, printable

if TYPE_CHECKING:
    from psp.model.procedure import Protocol
    from psp.model.weights import Header

PRECISIONS = ("auto", "fp32", "bf16")
STANDARD_INPUT = Path("-")

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
    way: Way = "torch",
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
    """  # fmt: skip
    from psp.cli.console import progress, say
    from psp.cli.tables import show_evaluation
    from psp.files import json_line
    from psp.ranks import local_device, rank_part
    from psp.zoo.find import is_published

    if data is None and is_published(model):  # said before hundreds of MB are fetched
        raise PspError(f"{model}: published weights do not know your shards. Add --data SHARDS")
    rank = rank_part()
    found = model_named(model, _which(weights), quiet or not rank.first)
    from psp.device import pick_device
    from psp.evaluate.evaluate import evaluate as run

    with progress("evaluating", quiet or not rank.first) as advance:
        evaluation = run(
            found,
            data=data,
            split=split,
            protocol=_protocol(scales, multi_scale, flip, crop, base_size, way),
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
    way: Way = "torch",
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
    from psp.cli.tables import protocol_line
    from psp.files import json_line
    from psp.predict.inputs import default_out, find_pictures
    from psp.predict.pipeline import Parsed
    from psp.ranks import local_device, part_from, rank_part, within

    rank = rank_part()
    share = within(part_from(part), rank) if part else rank
    listed = _list(images, rank.total)
    images = [path for path in images if path != STANDARD_INPUT]
    pictures = find_pictures(images, listed)
    found = model_named(model, _which(weights), quiet or not rank.first)
    from psp.device import pick_device
    from psp.predict.pipeline import predict as run

    remark = say if rank.first and not quiet else (lambda text: None)
    if model is None:
        remark(f"model: {found.path.parent}, the newest run")
    with progress("predicting", quiet or not rank.first) as advance:

        def report(event: Parsed) -> None:
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
                protocol=_protocol(scales, multi_scale, flip, crop, base_size, way),
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
            "out": str(result.out), "part": str(share), "parsed": list(result.parsed),
            "skipped": list(result.skipped), "failed": failed,
        }  # fmt: skip
        print(json_line(record))
    elif rank.first:
        print(printable(str(result.out)))
    if result.skipped:
        remark(f"{_pictures(result.skipped)} parsed already, and skipped")
    remark(f"{_pictures(result.parsed)} parsed: labels/, overlays/ and more in {result.out}")
    how = protocol_line(found.which, result.header, result.protocol, result.precision)
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
    from psp.model.procedure import PAPER_SCALES, Protocol

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


def _pictures(items: Sequence[object]) -> str:
    return "1 picture" if len(items) == 1 else f"{len(items)} pictures"

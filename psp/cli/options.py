"""Options that several commands share, each declared once, and what is read from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from psp.errors import PspError

if TYPE_CHECKING:
    from psp.data.card import Card
    from psp.model.choice import Choice
    from psp.runs import Model

ADVANCED = "Advanced"
PRECISIONS = ("auto", "fp32", "bf16")
_debug = False  # set by --debug: errors of the user show their traceback too


def processes(workers: int | None) -> int:
    """Return the value of --workers: without it, this rank's share of the cores."""
    from psp.ranks import ranks_here
    from psp.workers import cores

    return workers or max(1, cores() // ranks_here())


def debugging() -> bool:
    """Return whether --debug was given, before or after the command's name."""
    return _debug


def _set_debug(value: bool) -> bool:
    global _debug
    _debug = _debug or value
    return value


def _device_word(value: str) -> str:
    from psp.ranks import device_name

    return device_name(value)


Shards = Annotated[
    Path, typer.Argument(help="A folder of shards, made by psp prepare, or its name under data/.")
]
_MODEL = "A run or its name, a weights file, or a name from psp models."
ModelName = Annotated[Path, typer.Argument(help=_MODEL)]
ModelOption = Annotated[Path, typer.Option("-m", "--model", help=_MODEL)]
ScorableModel = Annotated[
    Path,
    typer.Argument(help="A run or its name, a weights or .onnx file, or a name from psp models."),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        callback=_set_debug,
        is_eager=True,
        help="Show the traceback of an error.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show no progress and no remarks.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show more details.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]
Device = Annotated[str, typer.Option(callback=_device_word, help="auto, cpu, cuda, cuda:N or mps.")]
Workers = Annotated[
    int | None, typer.Option(help="Number of processes. Default: one per core.", min=1)
]
Part = Annotated[
    str | None,
    typer.Option(
        help="Do only a share of the pictures, e.g. 3/64: the third of 64.",
        metavar="K/N",
        rich_help_panel=ADVANCED,
    ),
]
Precision = Annotated[
    str, typer.Option(help="auto (bf16 where the hardware supports it), fp32 or bf16.")
]
WhichWeights = Annotated[
    str | None, typer.Option(help="Which weights of a run to use: best or last. Default: best.")
]
Scales = Annotated[
    str | None, typer.Option(help="Average over these scales, e.g. 0.75,1.0,1.25.", metavar="LIST")
]
MultiScale = Annotated[
    bool, typer.Option("--multi-scale", help="Average over the paper's six scales, 0.5 to 1.75.")
]
Flip = Annotated[
    bool | None,
    typer.Option("--flip/--no-flip", help="Average with the scores of the mirrored picture."),
]
Crop = Annotated[
    int | None,
    typer.Option(
        help="Side of square windows; others: --windows WxH. Default: the training crop.",
        metavar="N",
    ),
]
BaseSize = Annotated[
    int | None,
    typer.Option(
        help="Resize pictures to this long side at scale 1. Default: as in training.", metavar="N"
    ),
]
Windows = Annotated[
    str | None,
    typer.Option(
        help="square, whole (the picture as one window), or WIDTHxHEIGHT.", rich_help_panel=ADVANCED
    ),
]
Stride = Annotated[
    str | None,
    typer.Option(
        help="Pixels from window to window: N or ACROSSxDOWN. Default: two thirds.",
        metavar="N",
        rich_help_panel=ADVANCED,
    ),
]
Resize = Annotated[
    str | None,
    typer.Option(
        help="Resize pictures at scale 1: long:N, short:N, own, or WIDTHxHEIGHT (as large as fits "
        "inside, turned as the picture is).",
        rich_help_panel=ADVANCED,
    ),
]
Blend = Annotated[
    str | None,
    typer.Option(
        help="How overlapping windows are averaged: taper (no seams) or uniform (as the authors).",
        rich_help_panel=ADVANCED,
    ),
]
ProcedureName = Annotated[
    str | None,
    typer.Option(
        "--procedure",
        help="Whose test procedure: torch or caffe (the authors'), mmseg, mmseg-0.x, csail. "
        "Default: what the weights carry, or torch.",
        rich_help_panel=ADVANCED,
    ),
]
WindowBatch = Annotated[
    int | None,
    typer.Option(
        help="Windows per network pass, mirrored ones included. Default: by device.",
        metavar="N",
        rich_help_panel=ADVANCED,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the network first. Takes a minute; pays off for many pictures on a GPU.",
        rich_help_panel=ADVANCED,
    ),
]


EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="What runs the network: torch, onnxruntime or openvino. Default: onnxruntime for an "
        ".onnx file, else torch.",
        metavar="NAME",
        rich_help_panel=ADVANCED,
    ),
]


def model_named(name: Path | None, which: str | None = None, quiet: bool = False) -> "Model":
    """Return the model that a command names. Published weights are fetched if needed, and shown."""
    from psp.cli.console import fetching
    from psp.zoo.find import find_model

    with fetching(quiet) as report:
        return find_model(name, which, report)


def card_named(name: str) -> "Card":
    """Return a shipped card, a card's file, or the card inside a folder of shards.

    A shipped card goes before shards of the same name under data/, which were made from it.
    """
    from psp.data.cardfile import find_card
    from psp.data.manifest import read_manifest
    from psp.data.stored_card import card_from_dict

    folder = shards_named(name)
    return card_from_dict(read_manifest(folder)["card"]) if folder else find_card(name)


def shards_named(name: str) -> Path | None:
    """Return the folder of shards that a name means, where a card may be meant, too; None if so."""
    from psp.data.cardfile import shipped
    from psp.data.find import find_shards, shards_folder

    if Path(name).is_dir() or (name not in shipped() and shards_folder(name).is_dir()):
        return find_shards(name)
    return None


class ShowGroup(TyperGroup):
    """A group of commands where `psp cards voc2012` is short for `psp cards show voc2012`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that `args` begin with; `show` if they begin with none."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


def one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    """Return an option's value. Raises PspError if it is not one of the choices."""
    if value not in choices:
        raise PspError(f"{option} {value}: must be one of {', '.join(choices)}.")
    return value


def which_weights(weights: str | None) -> str | None:
    """Return the value of --weights. Raises PspError if it is neither best nor last."""
    if weights not in (None, "", "best", "last") and _names_a_model(str(weights)):
        raise PspError(
            f"--weights {weights}: chooses best or last of a run. To name the model: psp predict "
            f"PICTURES -m {weights}, or psp evaluate {weights}"
        )
    return weights and one_of("--weights", weights, ("best", "last"))


def _names_a_model(text: str) -> bool:
    from psp.zoo.find import is_published, is_run

    return "." in text or "/" in text or is_run(text) or is_published(text)


def choice_of(options: Mapping[str, Any], *, predicting: bool) -> "Choice":
    """Return what a command's options say of the test procedure: a function of a weights' header.

    `options` are the command's variables, by the names that all commands give these options.
    """
    from psp.model.choice import Choice

    scales = options["scales"]
    try:
        factors = tuple(float(part) for part in scales.split(",")) if scales else None
    except ValueError:
        raise PspError(f"--scales {scales}: must be numbers such as 0.75,1.0,1.25.") from None
    same = ("multi_scale", "flip", "crop", "base_size", "windows", "stride", "resize", "blend")
    return Choice(
        named=options["procedure"],
        scales=factors,
        predicting=predicting,
        **{name: options[name] for name in same},
    )


def check_new_file(out: Path, suffix: str, overwrite: bool) -> None:
    """Raise PspError if `out` has another suffix, or exists and must not be overwritten."""
    if out.suffix != suffix:
        raise PspError(f"{out}: must end in {suffix}")
    if out.exists() and not overwrite:
        raise PspError(f"{out}: exists already. Choose another name, or replace it: --overwrite")

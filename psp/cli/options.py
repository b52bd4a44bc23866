"""Options that several commands have, each declared once."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from psp.errors import PspError

if TYPE_CHECKING:
    from psp.data.card import Card
    from psp.model.procedure import Procedure
    from psp.model.weights import Header
    from psp.runs import Model

ADVANCED = "Advanced"
PRECISIONS = ("auto", "fp32", "bf16")
_debug = False  # --debug: show the traceback of a user's mistake too


def debugging() -> bool:
    """Whether --debug was given, before or behind the command."""
    return _debug


def _set_debug(value: bool) -> bool:
    global _debug
    _debug = _debug or value
    return value


Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        callback=_set_debug,
        is_eager=True,
        help="Show the traceback of an error.",
        rich_help_panel=ADVANCED,
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no remarks.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Workers = Annotated[int | None, typer.Option(help="Processes; default: the cores.", min=1)]
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
Flip = Annotated[bool, typer.Option("--flip/--no-flip", help="Ema with the mirrored view.")]
Crop = Annotated[
    int | None, typer.Option(help="Side of the window; default: as trained.", metavar="N")
]
BaseSize = Annotated[
    int | None,
    typer.Option(help="Long side of pictures at scale 1; default: as trained.", metavar="N"),
]
ProcedureName = Annotated[
    str,
    typer.Option(
        "--procedure",
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


def model_named(name: Path | None, which: str | None = None, quiet: bool = False) -> "Model":
    """Return the model that a command names; published weights are fetched before the eyes."""
    from psp.cli.console import fetching
    from psp.zoo.find import find_model

    with fetching(quiet) as report:
        return find_model(name, which, report)


def card_named(name: str) -> "Card":
    """Return a shipped card, a card's file, or the card inside a folder of shards."""
    from psp.data.card import card_from_dict
    from psp.data.cardfile import find_card
    from psp.data.manifest import read_manifest

    if Path(name).is_dir():
        return card_from_dict(read_manifest(Path(name))["card"])
    return find_card(name)


def leave(code: int) -> NoReturn:
    """End one of several ranks at once. Threads of torch's still talk to others, and Python's own
    end, which would take what they use away, now and then aborts or hangs in them."""
    for loader in multiprocessing.active_children():
        loader.terminate()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Shown(TyperGroup):
    """A group in which a name that is no command is shown: psp cards voc2012."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` begin with."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


def one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    """Return an option's value. Raises PspError when it is not among the choices."""
    if value not in choices:
        raise PspError(f"{option} {value}: one of {', '.join(choices)}.")
    return value


def which_weights(weights: str | None) -> str | None:
    return weights and one_of("--weights", weights, ("best", "last"))


def procedure_of(
    scales: str | None,
    multi_scale: bool,
    flip: bool,
    crop: int | None,
    base_size: int | None,
    name: str,
) -> Callable[["Header"], "Procedure"]:
    """Return the test procedure as a function of what the weights say of themselves."""
    from psp.model.procedure import PAPER_SCALES, Procedure

    if scales and multi_scale:
        raise PspError("--scales and --multi-scale: give one of them.")
    try:
        factors = tuple(float(part) for part in scales.split(",")) if scales else (1.0,)
    except ValueError:
        raise PspError(f"--scales {scales}: numbers such as 0.75,1.0,1.25.") from None

    def choose(header: "Header") -> Procedure:
        return Procedure(
            crop=header.crop if crop is None else crop,
            base_size=header.base_size if base_size is None else base_size,
            scales=PAPER_SCALES if multi_scale else factors,
            flip=flip,
            name=name,
        )

    return choose


def check_new_file(out: Path, suffix: str, overwrite: bool) -> None:
    """Raise PspError for a file name of another kind, and for a file that stands there."""
    if out.suffix != suffix:
        raise PspError(f"{out}: must end in {suffix}")
    if out.exists() and not overwrite:
        raise PspError(f"{out}: exists already. Choose another name, or replace it: --overwrite")

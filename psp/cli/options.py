"""Options that several commands have, each declared once."""

import multiprocessing
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from psp.errors import PspError

if TYPE_CHECKING:
    from psp.data.card import Card
    from psp.runs import Model

ADVANCED = "Advanced"
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

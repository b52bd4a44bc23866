"""The command line: parse, call, show. Only this package knows typer.

Everything heavy is imported inside the commands, so that `psp --help` answers at once. Data go to
stdout, progress and remarks to stderr. Exit codes: 0 done; 1 a bug; 2 a user's mistake, one line;
3 done, but some inputs failed and are listed; 128 + n stopped by signal n.
"""

import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from psp.cli.cards import cards_app
from psp.cli.demo import demo
from psp.cli.evaluate import evaluate
from psp.cli.export import export
from psp.cli.import_weights import import_
from psp.cli.inspect import inspect
from psp.cli.models import models_app
from psp.cli.options import Debug, debugging, leave
from psp.cli.predict import predict
from psp.cli.prepare import prepare
from psp.cli.recipe import recipe_app
from psp.cli.train import train
from psp.cli.verify import verify
from psp.errors import PspError
from psp.version import __version__


class Commands(TyperGroup):
    """The one place where errors become exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a PspError becomes one line and exit code 2."""
        try:
            return super().invoke(ctx)
        except PspError as error:
            if debugging():
                raise
            raise _mistake(str(error)) from None
        except OSError as error:
            # The world's doing, not a bug: a full disk, a folder that may not be written.
            if debugging() or error.filename is None:
                raise
            raise _mistake(f"{error.filename}: {error.strerror}.") from None
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            raise typer.Exit(128 + signal.SIGINT) from None


def _mistake(message: str) -> typer.Exit:
    """Show a user's mistake and return the exit that belongs to it."""
    from psp.cli.console import show_error

    show_error(message)
    return typer.Exit(2)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (prepare, train, evaluate, predict, demo, inspect, verify):
    app.command()(command)
app.command("import")(import_)
app.command()(export)
app.add_typer(cards_app, name="cards")
app.add_typer(recipe_app, name="recipe")
app.add_typer(models_app, name="models")


def main() -> None:
    """Entry point of `psp` and `python -m psp`."""
    try:
        app(prog_name="psp")
    except SystemExit as end:
        torch = sys.modules.get("torch")
        if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
            leave(end.code if isinstance(end.code, int) else 1)
        raise


def _show_version(value: bool) -> None:
    if value:
        print(f"psp {__version__}")
        raise typer.Exit


@app.callback()
def psp(
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """The pyramid scene parsing network: prepare, train, evaluate, predict. Try: psp demo"""

"""The command line: parse options, call the library, show the result. Only this room uses typer.

Heavy modules are imported inside the commands, so that `psp --help` answers at once. Results go to
stdout, progress and remarks to stderr. Exit codes: 0 done; 1 a bug; 2 an error that the user can
fix, in one line; 3 done, but some inputs failed and are listed; 128 + n stopped by signal n.
"""

import errno
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from psp.cli.cards import cards_app
from psp.cli.compare import compare_command
from psp.cli.demo import demo_command
from psp.cli.doctor import doctor_command
from psp.cli.evaluate import evaluate_command
from psp.cli.explain import explain_command
from psp.cli.export import export_command
from psp.cli.import_weights import import_command
from psp.cli.inspect import inspect_command
from psp.cli.interrupted import say_interrupted
from psp.cli.models import models_app
from psp.cli.options import Debug, debugging
from psp.cli.predict import predict_command
from psp.cli.prepare import prepare_command
from psp.cli.recipe import recipe_app
from psp.cli.report import report_command
from psp.cli.runs import runs_command
from psp.cli.stopping import end_of_rank, leave, quiet_interrupts, work_on_one_rank
from psp.cli.streams import results_written, standard_streams
from psp.cli.suspects import suspects_command
from psp.cli.train import train_command
from psp.cli.unread import end_without_reader
from psp.cli.verify import verify_command
from psp.errors import PspError
from psp.version import __version__

USAGE_ERROR: Any = typer.BadParameter.__base__  # click's, which some versions of typer include


class Commands(TyperGroup):
    """The group of all commands, and the one place where errors become exit codes."""

    given: list[str] = []  # noqa: RUF012  # the command's name and its arguments

    def invoke(self, ctx: Any) -> Any:
        """Run a command. An error that the user can fix becomes one line and exit code 2."""
        try:
            return super().invoke(ctx)
        except USAGE_ERROR as error:
            raise _user_error(self._answer_to_words(error) or self._usage(error)) from None
        except PspError as error:
            if debugging():
                raise
            raise _user_error(str(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE and error.filename is None:
                end_without_reader()  # here, as typer makes it exit code 1
            # Not a bug: a full disk, or a folder without write permission.
            if debugging() or error.filename is None:
                raise
            raise _user_error(f"{error.filename}: {error.strerror}.") from None
        except KeyboardInterrupt as stop:  # of Ctrl-C, or of the signal that it names
            say_interrupted()
            number = stop.args[0] if stop.args else signal.SIGINT
            raise typer.Exit(128 + number) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that `args` begin with; an unknown one gets the nearest named."""
        self.given = args
        if args[0] not in self.commands and not args[0].startswith("-"):
            from psp.cli.words.commands import command_answer

            raise PspError(command_answer(args[0], list(self.commands)))
        return super().resolve_command(ctx, args)

    def _usage(self, error: Any) -> str:
        """Return a wrong use of a command as one line, with the example of the command's help."""
        command = error.ctx.command if error.ctx else self.commands[self.given[0]]
        path = error.ctx.command_path if error.ctx else f"psp {self.given[0]}"
        text = error.format_message().rstrip(".")
        _, example, words = (command.help or "").partition("\n")[0].rpartition(": psp ")
        example = f"For example: psp {words}. " if example else ""
        return f"{path}: {text[:1].lower()}{text[1:]}. {example}All options: {path} --help"

    def _answer_to_words(self, error: Exception) -> str | None:
        """Return one line on options that the command does not have; None for another error."""
        command = self.commands.get(self.given[0]) if self.given else None
        extra = "unexpected extra argument" in str(error)
        if command is None or hasattr(command, "commands"):
            return None
        if not (hasattr(error, "possibilities") or extra):
            return None
        from psp.cli.words.answer import option_answer

        options = {
            name: [word for param in one.params for word in (*param.opts, *param.secondary_opts)]
            for name, one in self.commands.items()
        }
        options[self.given[0]] += ["--help", "-h"]
        return option_answer(self.given[0], self.given[1:], options)


def _user_error(message: str) -> typer.Exit:
    """Show an error that the user can fix, and return the exit to raise."""
    from psp.cli.console import show_error

    show_error(message)
    return typer.Exit(2)


app = typer.Typer(
    cls=Commands,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In `psp --help`, a line per command; its own help says more, and has an example.
FOUR, DATA, MODELS, MORE = "The four commands", "Data", "Models", "More"


def _add(name: str, function: Callable[..., None], panel: str, line: str) -> None:
    app.command(name, short_help=line, rich_help_panel=panel)(function)


_add("prepare", prepare_command, FOUR, "Convert a data set's download into shards.")
_add("train", train_command, FOUR, "Train a network on the shards.")
_add("evaluate", evaluate_command, FOUR, "Score the network on a labeled split.")
_add("predict", predict_command, FOUR, "Write label maps and overlays of pictures.")
app.add_typer(
    cards_app, name="cards", rich_help_panel=DATA, short_help="List the data sets that psp knows."
)
_add("inspect", inspect_command, DATA, "Show what shards hold, or a model.")
_add("explain", explain_command, MODELS, "Show what the pyramid makes of a picture.")
_add("suspects", suspects_command, DATA, "List masks that the network contradicts.")
_add("verify", verify_command, DATA, "Check every byte and every label value of shards.")
app.add_typer(
    models_app, name="models", rich_help_panel=MODELS, short_help="List the published weights."
)
_add("import", import_command, MODELS, "Convert weights of other programs.")
_add("export", export_command, MODELS, "Write a model as ONNX, and check it.")
_add("runs", runs_command, MORE, "List the trainings, and how far each is.")
_add("compare", compare_command, MORE, "Put evaluations side by side.")
_add("report", report_command, MORE, "Write the report of a run anew.")
_add("doctor", doctor_command, MORE, "Check that this machine has what psp needs.")
app.add_typer(
    recipe_app, name="recipe", rich_help_panel=MORE, short_help="Show the settings of a training."
)
_add("demo", demo_command, MORE, "Try the four commands on a small painted data set.")

# They use all cores of a machine as one process, or write one file.
ON_ONE_RANK = {"import", "export", "demo", "report", "compare", "explain"}

START = """\
psp demo                       try the four commands on painted pictures, about three minutes
psp cards                      the data sets that psp knows; then psp prepare, train, evaluate
psp prepare photos/ masks/     your own data set, or the export of a labeling tool
psp predict photos/            label maps of your pictures, with a model of your own or published
psp --help                     all commands; psp train --help: its options"""


WINDOWS = """\
error: psp does not run on Windows itself: it needs the processes, locks and signals of Linux or \
macOS. Use WSL (https://learn.microsoft.com/windows/wsl/install), and install psp there"""


def program() -> None:
    """Entry point of `psp` and `python -m psp`.

    Once the work is done, Ctrl-C just ends the process: Python would print a traceback of itself.
    """
    try:
        main()
    finally:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the command in sys.argv and exit. On Windows, one line says what to do instead."""
    if sys.platform == "win32":
        print(WINDOWS, file=sys.stderr)
        sys.exit(2)
    try:
        with standard_streams(), results_written(), quiet_interrupts():
            app(prog_name="psp")
    except SystemExit as end:
        end.code = end_of_rank(end.code)
        torch = sys.modules.get("torch")
        if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
            leave(end.code if isinstance(end.code, int) else 1)
        raise


def _show_version(value: bool) -> None:
    if value:
        print(f"psp {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def psp(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "-V",
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Semantic segmentation with the pyramid scene parsing network (PSPNet)."""
    if ctx.invoked_subcommand is None:
        print(f"{ctx.command.help}\n\n{START}")
        raise typer.Exit(2)
    if ctx.invoked_subcommand in ON_ONE_RANK:
        work_on_one_rank(ctx.invoked_subcommand)

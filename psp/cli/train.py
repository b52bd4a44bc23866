"""psp train."""

import contextlib
import json
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psp.cli.options import Debug, Device, Json, Quiet, Verbose, debugging, leave, model_named
from psp.errors import PspError, ReportedError

if TYPE_CHECKING:
    from psp.runs import Run
    from psp.settings.config import TrainConfig
    from psp.train.distributed import Ranks


def train(
    shards: Annotated[Path, typer.Argument(help="A folder that psp prepare wrote.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The run's folder; default: runs/DATASET-BACKBONE."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="imagenet, none, a run, a weights file, or a name of psp models.", metavar="HOW"
        ),
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
    batch: Annotated[
        str | None,
        typer.Option(help="Images per step; auto: in parts that fit the GPU.", metavar="N"),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.", metavar="N")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", metavar="X")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random.", metavar="N")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that load pictures.", metavar="N")
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(help="Train on so many GPUs of this machine.", metavar="N", min=1),
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="Repeat bit for bit on a GPU too; slower there."),
    ] = False,
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
    """Train on prepared shards: psp train data/camvid --steps 20000

    On several machines: torchrun ... -m psp train data/camvid
    """
    from psp.ranks import rank_share, ranks_here, under_torchrun

    part = rank_share()
    if gpus is not None and under_torchrun():
        if gpus != ranks_here():
            raise PspError(f"--gpus {gpus}: torchrun started {ranks_here()} here. Leave --gpus out")
    elif gpus is not None:
        _check_gpus(gpus, device)
        if gpus > 1:
            raise typer.Exit(_launch(gpus))
    given = {
        "init": init,
        "backbone": backbone,
        "crop": crop,
        "batch": batch,
        "steps": steps,
        "lr": lr,
        "seed": seed,
        "workers": workers,
        "deterministic": deterministic or None,
    }

    def make() -> _Plan:
        return _plan(shards, out, recipe, given, settings or [], resume=resume, quiet=quiet)

    plan = make() if part.total == 1 else None  # a mistake is answered before torch is loaded
    # torch finds more workers than cores unwise; how many there are is the user's to say.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    from psp.train.rendezvous import meeting

    with meeting(part) as ranks, _stop_signals(aloud=ranks.first) as stopped, _one_voice(ranks):
        plan = plan or ranks.share(make)
        finished = _train(shards, plan, ranks, device, stopped, verbose=verbose, quiet=quiet)
    if not finished and ranks.first:
        _say_how_to_go_on(shards, plan)
    if not finished:
        raise typer.Exit(128 + (stopped[0] if stopped else signal.SIGTERM))
    if ranks.first:
        _say_result(plan, as_json=as_json, quiet=quiet)


@dataclass(frozen=True)
class _Plan:
    """What a command line means: the run's folder and its settings."""

    run: "Run"
    config: "TrainConfig"
    resume: bool


def _plan(
    shards: Path,
    out: Path | None,
    recipe: str | None,
    given: dict[str, Any],
    settings: list[str],
    *,
    resume: bool,
    quiet: bool,
) -> _Plan:
    """Find the run's folder and settings; fetch published weights that it starts from."""
    from psp.data.card import card_from_dict
    from psp.data.manifest import read_manifest
    from psp.files import free_name
    from psp.ranks import launch_name, restarts
    from psp.runs import RUNS, Run, begun_by, newest_named
    from psp.settings.sources import overlay, resolve
    from psp.zoo.find import is_published

    overrides = _overrides({k: v for k, v in given.items() if v is not None}, settings)
    card = card_from_dict(read_manifest(shards)["card"])
    config = resolve(card.recipe_named(recipe), overrides, recipe or "default")
    default = RUNS / f"{card.name}-{config.backbone}"
    if restarts() and not resume:  # torchrun started it again: it goes on with its own run
        own = begun_by(default, launch_name()) if out is None else Run(out)
        if own is not None and own.of_launch(launch_name()):
            return _Plan(own, config, own.resumable)
    if resume:
        run = Run(out or newest_named(default))
        if recipe is None:
            config = overlay(run.training_config(), overrides)
        return _Plan(run, config, True)
    if is_published(config.init):
        model_named(Path(config.init), quiet=quiet)  # fetched now, and not behind the bar
    return _Plan(Run(out or free_name(default)), config, False)


def _train(
    shards: Path,
    plan: _Plan,
    ranks: "Ranks",
    device: str,
    stopped: list[int],
    *,
    verbose: bool,
    quiet: bool,
) -> bool:
    """Train while the display shows it; return False where a signal has stopped it."""
    from psp.cli.console import TrainingDisplay
    from psp.device import pick_device
    from psp.ranks import training_device
    from psp.train.loop import train as work

    with ranks.all_or_raise():
        chosen = pick_device(training_device(device))
    ranks.open(chosen)
    shown = TrainingDisplay(plan.config.steps, verbose=verbose, quiet=quiet or not ranks.first)
    with shown as display:
        return work(
            shards,
            plan.run,
            plan.config,
            device=chosen,
            command=shlex.join(["psp", *sys.argv[1:]]),
            resume=plan.resume,
            report=display,
            stop=lambda: bool(stopped),
            ranks=ranks,
        )


def _say_how_to_go_on(shards: Path, plan: _Plan) -> None:
    from psp.cli.console import say

    folder = shlex.quote(str(plan.run.folder))
    again = f"psp train {shlex.quote(str(shards))} -o {folder} --resume"
    say(f"stopped; the checkpoint is written. Go on with: {again}")


def _say_result(plan: _Plan, *, as_json: bool, quiet: bool) -> None:
    from psp.cli.console import say

    if as_json:
        print(json.dumps({"run": str(plan.run.folder), **plan.run.last_validation()}))
    if not quiet and plan.config.limit is not None:
        say(f"these scores are those of the {plan.config.limit} pictures it was trained on")
    elif not quiet:
        say(f"next: psp evaluate {shlex.quote(str(plan.run.folder))}")


def _check_gpus(gpus: int, device: str) -> None:
    """Raise PspError where there are not so many."""
    import torch

    if device not in ("auto", "cuda"):
        raise PspError(f"--gpus {gpus} --device {device}: it takes the first {gpus} CUDA devices.")
    if (count := torch.cuda.device_count()) < gpus:
        raise PspError(f"--gpus {gpus}: torch sees {count} CUDA devices here.")


def _launch(gpus: int) -> int:
    """Start this same command once a GPU; return the exit code."""
    from psp.train.launch import launch

    return launch(gpus, sys.argv[1:])


@contextlib.contextmanager
def _one_voice(ranks: "Ranks") -> Iterator[None]:
    """Let one rank say what is wrong before any ends: torchrun then ends all at once."""
    try:
        yield
    except ReportedError:
        ranks.wait_until_told()
        leave(2)
    except PspError as error:
        if ranks.alone or debugging():
            raise
        from psp.cli.console import show_error

        show_error(str(error))
        ranks.tell()
        leave(2)


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


@contextlib.contextmanager
def _stop_signals(*, aloud: bool) -> Iterator[list[int]]:
    """Collect the signals that end a training instead of dying; a second one interrupts at once.

    SIGUSR1 comes from schedulers before the time is up, SIGHUP when a terminal or a connection
    closes (nohup has it ignored, and so it stays). One of several ranks says so `aloud`.
    """
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        if aloud:
            with contextlib.suppress(OSError):  # the terminal may be gone
                print("\nstopping after this step (again: at once)", file=sys.stderr)

    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP}
    numbers -= {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

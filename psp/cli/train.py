"""psp train: train a network on prepared shards, on one process or on several ranks."""

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


def train_command(
    shards: Annotated[Path, typer.Argument(help="A folder of shards, made by psp prepare.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder of the run. Default: runs/DATASET-BACKBONE."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Start from: imagenet, none, a run, a weights file, or a name from psp models.",
            metavar="FROM",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="One of the card's recipes, see psp cards show.", metavar="NAME"),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="resnet18, 34, 50, 101, 152 or 269.", metavar="NAME")
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(help="Side of the training crop, a multiple of 8 plus 1.", metavar="N"),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            help="Images per step; auto: split each step so that it fits the GPU.", metavar="N"
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.", metavar="N")] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate of the backbone.", metavar="X")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all random choices.", metavar="N")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of processes that load pictures.", metavar="N")
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(help="Train on the first N GPUs of this machine.", metavar="N", min=1),
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="Make runs on a GPU repeatable bit for bit (slower)."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the newest checkpoint.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other setting, see psp recipe show. Repeat for more.",
            metavar="KEY=VALUE",
        ),
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

    share = rank_share()
    if gpus is not None and under_torchrun():
        if gpus != ranks_here():
            raise PspError(
                f"--gpus {gpus}: torchrun started {ranks_here()} ranks here. Leave --gpus out"
            )
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

    def read_request() -> _Request:
        return _request(shards, out, recipe, given, settings or [], resume=resume, quiet=quiet)

    request = read_request() if share.total == 1 else None  # errors before torch is loaded
    # torch warns about more workers than cores, but --workers is the user's choice.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    from psp.train.distributed import joined_ranks

    with (
        joined_ranks(share) as ranks,
        _stop_signals(announce=ranks.first) as stopped,
        _reported_once(ranks),
    ):
        request = request or ranks.broadcast(read_request)
        finished = _train(shards, request, ranks, device, stopped, verbose=verbose, quiet=quiet)
    if not finished and ranks.first:
        _say_how_to_resume(shards, request)
    if not finished:
        raise typer.Exit(128 + (stopped[0] if stopped else signal.SIGTERM))
    if ranks.first:
        _say_result(request, as_json=as_json, quiet=quiet)


@dataclass(frozen=True)
class _Request:
    """What the command line asks for: the run's folder and its settings."""

    run: "Run"
    config: "TrainConfig"
    resume: bool


def _request(
    shards: Path,
    out: Path | None,
    recipe: str | None,
    given: dict[str, Any],
    settings: list[str],
    *,
    resume: bool,
    quiet: bool,
) -> _Request:
    """Return the run's folder and settings. Fetch published weights that it starts from."""
    from psp.data.card import card_from_dict
    from psp.data.manifest import read_manifest
    from psp.files import free_name
    from psp.ranks import launch_name, restarts
    from psp.runs import RUNS, Run, newest_named, run_of_launch
    from psp.settings.sources import overlay, resolve
    from psp.zoo.find import is_published

    overrides = _overrides({k: v for k, v in given.items() if v is not None}, settings)
    card = card_from_dict(read_manifest(shards)["card"])
    config = resolve(card.recipe_named(recipe), overrides, recipe or "default")
    default = RUNS / f"{card.name}-{config.network.backbone}"
    if restarts() and not resume:  # torchrun restarted the ranks: continue with their run
        own = run_of_launch(default, launch_name()) if out is None else Run(out)
        if own is not None and own.of_launch(launch_name()):
            return _Request(own, config, own.resumable)
    if resume:
        run = Run(out or newest_named(default))
        if recipe is None:
            config = overlay(run.training_config(), overrides)
        return _Request(run, config, True)
    if is_published(config.start.init):
        model_named(Path(config.start.init), quiet=quiet)  # fetch now, before the bar is shown
    return _Request(Run(out or free_name(default)), config, False)


def _train(
    shards: Path,
    request: _Request,
    ranks: "Ranks",
    device: str,
    stopped: list[int],
    *,
    verbose: bool,
    quiet: bool,
) -> bool:
    """Train and show progress. Return False if a signal stopped the training."""
    from psp.cli.console import TrainingDisplay
    from psp.device import pick_device
    from psp.ranks import training_device
    from psp.train.loop import train

    with ranks.all_or_raise():
        chosen = pick_device(training_device(device))
    ranks.open(chosen)
    shown = TrainingDisplay(
        request.config.optimizer.steps, verbose=verbose, quiet=quiet or not ranks.first
    )
    with shown as display:
        return train(
            shards,
            request.run,
            request.config,
            device=chosen,
            command=shlex.join(["psp", *sys.argv[1:]]),
            resume=request.resume,
            report=display,
            stop=lambda: bool(stopped),
            ranks=ranks,
        )


def _say_how_to_resume(shards: Path, request: _Request) -> None:
    from psp.cli.console import say

    folder = shlex.quote(str(request.run.folder))
    command = f"psp train {shlex.quote(str(shards))} -o {folder} --resume"
    say(f"stopped; the checkpoint is written. Continue with: {command}")


def _say_result(request: _Request, *, as_json: bool, quiet: bool) -> None:
    from psp.cli.console import say

    if as_json:
        print(json.dumps({"run": str(request.run.folder), **request.run.last_validation()}))
    if not quiet and request.config.data.limit is not None:
        say(f"these scores are for the {request.config.data.limit} pictures that it was trained on")
    elif not quiet:
        say(f"next: psp evaluate {shlex.quote(str(request.run.folder))}")


def _check_gpus(gpus: int, device: str) -> None:
    """Raise PspError if there are not as many GPUs, or another device is asked for."""
    import torch

    if device not in ("auto", "cuda"):
        raise PspError(
            f"--gpus {gpus} --device {device}: --gpus trains on CUDA devices. Leave --device out"
        )
    if (count := torch.cuda.device_count()) < gpus:
        raise PspError(f"--gpus {gpus}: torch sees {count} CUDA devices here.")


def _launch(gpus: int) -> int:
    """Run this same command once per GPU and return the exit code."""
    from psp.train.launch import launch

    return launch(gpus, sys.argv[1:])


@contextlib.contextmanager
def _reported_once(ranks: "Ranks") -> Iterator[None]:
    """Let one rank print an error before any rank ends, since torchrun then ends all of them."""
    try:
        yield
    except ReportedError:
        ranks.wait_for_report()
        leave(2)
    except PspError as error:
        if ranks.alone or debugging():
            raise
        from psp.cli.console import show_error

        show_error(str(error))
        ranks.announce_end()
        leave(2)


def _overrides(options: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """Join the options with the key=value texts of --set. No setting may be given twice."""
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
def _stop_signals(*, announce: bool) -> Iterator[list[int]]:
    """Yield a list of the stop signals received. A second one raises KeyboardInterrupt at once.

    Schedulers send SIGUSR1 before the time is up, and SIGHUP comes when a terminal or a connection
    closes (under nohup it is ignored, and stays ignored). `announce`: say so on stderr.
    """
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        if announce:
            with contextlib.suppress(OSError):  # the terminal may be gone
                print("\nstopping after this step (repeat to stop at once)", file=sys.stderr)

    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP}
    numbers -= {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

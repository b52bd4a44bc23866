"""psp train: train a network on prepared shards, on one process or on several ranks."""

import json
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psp.cli.options import Debug, Device, Json, Quiet, Shards, Verbose
from psp.cli.stopping import reported_once, stop_signals
from psp.errors import PspError
from psp.runs import checkpoint_files
from psp.settings.config import SETTINGS
from psp.settings.network import BACKBONES

if TYPE_CHECKING:
    from psp.ranks import Share
    from psp.train.distributed import Ranks
    from psp.train.request import TrainRequest


def train_command(
    shards: Shards,
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
        str | None, typer.Option(help=f"{', '.join(BACKBONES)}.", metavar="NAME")
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            help="Side of the training crop, or both: 473, 1001x505. Multiples of 8 plus 1.",
            metavar="SIZE",
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            help="Images per step; auto: split each step so that it fits the GPU.", metavar="N"
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.", metavar="N")] = None,
    hours: Annotated[
        float | None,
        typer.Option(help="Train for about so long instead: as many steps as fit.", metavar="H"),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="End after N validations without a better mIoU.", metavar="N"),
    ] = None,
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
        bool | None,
        typer.Option("--deterministic", help="Make runs on a GPU repeatable bit for bit (slower)."),
    ] = None,
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
    options = {name: value for name, value in locals().items() if name in SETTINGS}
    from psp.cli.console import fetching
    from psp.ranks import rank_share
    from psp.train.request import train_request

    def read_request() -> "TrainRequest":
        overrides = _overrides(options, settings or [])
        with fetching(quiet) as report:
            return train_request(
                shards, out, recipe, overrides, resume=resume, device=device, report=report
            )

    if gpus is not None:
        _launch(gpus, device)
    request, first = _train(read_request, rank_share(), device, verbose=verbose, quiet=quiet)
    if first:
        _show_result(request, as_json=as_json, quiet=quiet)


def _launch(gpus: int, device: str) -> None:
    """Run this same command once per GPU and exit as it does; return where one rank is enough."""
    from psp.ranks import under_torchrun
    from psp.train.launch import check_gpus, launch

    check_gpus(gpus, device)
    if gpus > 1 and not under_torchrun():
        raise typer.Exit(launch(gpus, sys.argv[1:]))


def _overrides(options: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """Return the settings given by options of their own and by --set."""
    from psp.cli.words.answer import setting_answer
    from psp.train.request import join_overrides

    for text in texts:
        if answer := setting_answer(text, sys.argv[2:]):
            raise PspError(answer)
    return join_overrides(options, texts)


def _train(
    read_request: Callable[[], "TrainRequest"],
    share: "Share",
    device: str,
    *,
    verbose: bool,
    quiet: bool,
) -> tuple["TrainRequest", bool]:
    """Train as one of the ranks; return the request, and whether this rank shows the result.

    Exits with 128 + n if signal n stopped the training.
    """
    request = read_request() if share.total == 1 else None  # errors before torch is loaded
    # torch warns about more workers than cores, but --workers is the user's choice.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    from psp.cli.console import say
    from psp.train.distributed import joined_ranks

    with (
        joined_ranks(share, say) as ranks,
        stop_signals(announce=ranks.first) as stopped,
        reported_once(ranks),
    ):
        request = request or ranks.broadcast(read_request)
        with _at_once(request, ranks):
            finished = _run(request, ranks, device, stopped, verbose=verbose, quiet=quiet)
    if not finished:
        if ranks.first:
            _say_how_to_resume(request)
        raise typer.Exit(128 + (stopped[0] if stopped else signal.SIGTERM))
    return request, ranks.first


def _run(
    request: "TrainRequest",
    ranks: "Ranks",
    device: str,
    stopped: list[int],
    *,
    verbose: bool,
    quiet: bool,
) -> bool:
    """Train and show progress. Return False if a signal stopped the training."""
    from psp.cli.training import TrainingDisplay
    from psp.device import pick_device
    from psp.ranks import training_device
    from psp.train.loop import train

    with ranks.all_or_raise():
        chosen = pick_device(training_device(device))
    ranks.open(chosen)
    steps = request.config.optimizer.steps
    with TrainingDisplay(steps, verbose=verbose, quiet=quiet or not ranks.first) as display:
        return train(
            request.shards,
            request.run,
            request.config,
            device=chosen,
            command=shlex.join(["psp", *sys.argv[1:]]),
            sources=request.sources,
            resume=request.resume,
            report=display,
            stop=lambda: bool(stopped),
            ranks=ranks,
        )


@contextmanager
def _at_once(request: "TrainRequest", ranks: "Ranks") -> Iterator[None]:
    """Say what there is of the run if a second signal ends it in the middle of a step."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if not ranks.first or not request.run.config.exists():
            raise
        steps = [int(path.stem) for path in checkpoint_files(request.run.checkpoints)]
        there = f"the checkpoint of step {steps[0]} is whole" if steps else "no checkpoint yet"
        _say_how_to_resume(request, f"stopped at once; {there}")
        raise typer.Exit(128 + (stop.args[0] if stop.args else signal.SIGINT)) from None


def _say_how_to_resume(
    request: "TrainRequest", there: str = "stopped; the checkpoint is written"
) -> None:
    from psp.cli.console import say

    folder = shlex.quote(str(request.run.folder))
    command = f"psp train {shlex.quote(str(request.shards))} -o {folder} --resume"
    say(f"{there}. Continue with: {command}")


def _show_result(request: "TrainRequest", *, as_json: bool, quiet: bool) -> None:
    from psp.cli.console import say

    if as_json:
        print(json.dumps({"run": str(request.run.folder), **request.run.last_validation()}))
    if not quiet and request.config.data.limit is not None:
        say(f"these scores are for the {request.config.data.limit} pictures that it was trained on")
    elif not quiet:
        say(f"next: psp evaluate {shlex.quote(str(request.run.folder))}")

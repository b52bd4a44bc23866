"""psp train."""

import contextlib
import json
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from psp.cli.options import Debug, Device, Json, Quiet, Verbose, model_named
from psp.errors import PspError


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
    batch: Annotated[int | None, typer.Option(help="Images per step.", metavar="N")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.", metavar="N")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", metavar="X")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random.", metavar="N")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that load pictures.", metavar="N")
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
    """Train on prepared shards: psp train data/camvid --steps 20000"""
    from psp.cards import card_from_dict
    from psp.display import TrainingDisplay, say
    from psp.files import free_name
    from psp.manifest import read_manifest
    from psp.resolver import is_published
    from psp.runs import RUNS, Run, newest_named
    from psp.settings import overlay, resolve

    given = {
        "init": init, "backbone": backbone, "crop": crop, "batch": batch, "steps": steps,
        "lr": lr, "seed": seed, "workers": workers, "deterministic": deterministic or None,
    }  # fmt: skip
    overrides = _overrides({k: v for k, v in given.items() if v is not None}, settings or [])
    card = card_from_dict(read_manifest(shards)["card"])
    config = resolve(card.recipe_named(recipe), overrides, recipe or "default")
    default = RUNS / f"{card.name}-{config.backbone}"
    if resume:
        run = Run(out or newest_named(default))
        if recipe is None:
            config = overlay(run.training_config(), overrides)
    else:
        run = Run(out or free_name(default))
    remark = (lambda text: None) if quiet else say
    # torch finds more workers than cores unwise; how many there are is the user's to say.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    if not resume and is_published(config.init):
        model_named(Path(config.init), quiet=quiet)  # fetched now, and not behind the bar
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
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGUSR1 (sent by schedulers before the time is up) instead of
    dying; a second one interrupts at once."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        print("\nstopping after this step (again: at once)", file=sys.stderr)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

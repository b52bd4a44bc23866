"""What `psp train` was asked for: which shards, which run folder, which settings.

Known before torch is loaded, so that a mistake in it is an error at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psp.data.find import find_shards, shards_folder
from psp.data.manifest import read_manifest
from psp.data.stored_card import card_from_dict
from psp.errors import PspError
from psp.events import Report, ignore
from psp.files import free_name
from psp.ranks import launch_name, rank_share, training_device
from psp.runs import RUNS, Run, newest_named, run_folder, run_of_launch
from psp.settings.config import TrainConfig
from psp.settings.sources import overlay, resolve, settings_from


@dataclass(frozen=True)
class TrainRequest:
    """A training: its shards, its run folder, its settings, and whether it continues a run."""

    shards: Path
    run: Run
    config: TrainConfig
    resume: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)  # of settings found from the data


def train_request(
    shards: Path,
    out: Path | None = None,
    recipe: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    device: str = "auto",
    report: Report = ignore,
) -> TrainRequest:
    """Return the run folder and the settings of a training.

    `overrides` are laid over the card's recipe, or, with `resume` and no `recipe`, over the run's
    own settings. A card without recipes gets one from its pictures and from `device`. Without
    `out`, a new run is runs/DATASET-BACKBONE or the next free number, and a resumed one the newest
    of these. Ranks that torchrun started again continue with their own run. A network that starts
    from a model is the model's, but for the settings of it that are given. Published weights are
    fetched at their first use; `report` gets the events. Raises PspError for shards that cannot be
    read, an unknown recipe or setting, no such run, or a given backbone that is not the model's.
    """
    shards, overrides = _find_shards(shards), overrides or {}
    card = card_from_dict(read_manifest(shards)["card"])
    if "hours" in overrides and "steps" in overrides:
        raise PspError("--steps and --hours: the steps follow from the hours. Give one of them")
    if resume and recipe is None and out is not None:
        return _resumed(shards, Run(run_folder(out)), overrides)
    values = card.recipe_named(recipe)
    sources: Mapping[str, str] = {}
    if not (card.recipe or card.recipes):
        values, sources = _found(shards, overrides, device)
    config = resolve(values, overrides, recipe or "default")
    following = _following(config, card.recipe_named(recipe), overrides, report)
    if following is not None:
        config = following
        sources = {key: text for key, text in sources.items() if key != "backbone"}
        if not (card.recipe or card.recipes or "lr" in overrides):
            config, said = _fine_tuned(config)
            sources = {**sources, "lr": said}
    if "hours" in overrides:
        sources = {key: text for key, text in sources.items() if key != "steps"}
    default = RUNS / f"{card.name}-{config.network.backbone}"
    if not resume:
        launch = launch_name()  # after a restart, it has begun this run before
        own = run_of_launch(default, launch) if out is None else Run(out)
        if own is not None and own.of_launch(launch):
            if own.resumable:
                return _resumed(shards, own, overrides)
            return TrainRequest(shards, own, config, sources=sources)
    if resume:
        run = Run(run_folder(out) if out else newest_named(default))
        if recipe is None:
            return _resumed(shards, run, overrides)
        return TrainRequest(shards, run, config, resume=True)
    return TrainRequest(shards, Run(out or free_name(default)), config, sources=sources)


def _resumed(shards: Path, run: Run, overrides: Mapping[str, Any]) -> TrainRequest:
    """Return a run to continue, with its own settings but for what is given."""
    return TrainRequest(shards, run, overlay(run.training_config(), overrides), resume=True)


def _found(
    shards: Path, overrides: Mapping[str, Any], device: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a recipe for the pictures and the device, without what is given, and its sources."""
    from psp.device import pick_device  # torch, which most mistakes should not wait for
    from psp.train.from_data import find_recipe

    given = settings_from(overrides, "--set")
    chosen = pick_device(training_device(device))
    split, batch = given.get("train_split"), given.get("batch")
    recipe = find_recipe(shards, split, batch, chosen, rank_share().total)
    names = [name for name in recipe.values if name not in given]
    return {n: recipe.values[n] for n in names}, {n: recipe.sources[n] for n in names}


def _find_shards(name: Path) -> Path:
    """Return the folder of shards of that name. Raises PspError, also for a run in its place."""
    run = run_folder(name)
    if Run(run).config.is_file() and not shards_folder(name).is_dir():
        data = Run(run).read_config()["data"]
        raise PspError(
            f"{name}: a run, not shards. To continue it: psp train {data} -o {run} --resume; to "
            f"start a new one from its weights: psp train {data} --init {run}"
        )
    return find_shards(name)


def _following(
    config: TrainConfig, recipe: Mapping[str, Any], overrides: Mapping[str, Any], report: Report
) -> TrainConfig | None:
    """Return the settings with the network of the model that they start from; None without one.

    Given with it are the user's settings, or also the recipe's where that names the model.
    """
    if config.start.init in ("none", "imagenet", "imagenet-v2"):
        return None
    from psp.train.finetune import follow  # torch, which most mistakes should not wait for
    from psp.train.init import model_path

    model = model_path(config.start.init, report)
    if model is None:
        return None
    return follow(config, model, overrides if "init" in overrides else {**recipe, **overrides})


def _fine_tuned(config: TrainConfig) -> tuple[TrainConfig, str]:
    """Return the settings with the learning rate for a network that is trained already, and why."""
    from psp.train.from_data import FINE_TUNING_LR

    usual = config.optimizer.lr
    said = f"from the model: a trained network needs less than the usual {usual}"
    return config.changed(lr=FINE_TUNING_LR), said


def join_overrides(options: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Join the options that were given (not None) with the key=value texts of --set.

    Raises PspError for a text of another form, and for a setting that is given twice.
    """
    overrides = {key: value for key, value in options.items() if value is not None}
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

"""What can be checked before the first step: the data, the batch, the run's folder."""

import math
from pathlib import Path

import torch

from psp.data.manifest import read_manifest
from psp.data.shards import ShardSplit
from psp.errors import PspError, nearest
from psp.evaluate.count import check_classes
from psp.model.backbones.backbone import find_backbone
from psp.ranks import launch_name
from psp.runs import Run
from psp.settings.augmentation import nearest_crops
from psp.settings.config import TrainConfig
from psp.settings.optimizer import multiples
from psp.settings.sources import differences
from psp.train.advice import one_class
from psp.train.run_log import step_of
from psp.train.tested import validation


def open_splits(shards: Path, config: TrainConfig) -> tuple[ShardSplit, ShardSplit]:
    """Return the training and the validation split. Raises PspError unless they fit each other."""
    data = _labeled_split(shards, train_split(shards, config.data.train_split), "train_split")
    if len(data.card.names) == 1:
        raise PspError(f"{shards}: {one_class(data.card)}")
    if config.data.limit is None:
        val_data = _labeled_split(shards, config.data.val_split, "val_split")
        check_classes(val_data, data.card.names, str(shards))
    elif config.data.limit > len(data):
        raise PspError(f"limit={config.data.limit}: split '{data.split}' has {len(data)} pictures.")
    else:
        data = val_data = data.first(config.data.limit)
    if data.class_pixels[:-1].sum() == 0:
        raise PspError(f"{shards}: split '{data.split}' has no labeled pixel to train on.")
    return data, val_data


def train_split(shards: Path, chosen: str | None) -> str:
    """Return the split to train on: the chosen one, else train_aug where there is one, or train."""
    return chosen or ("train_aug" if "train_aug" in read_manifest(shards)["splits"] else "train")


def _labeled_split(shards: Path, name: str, setting: str) -> ShardSplit:
    """Return a split with labels. Raises PspError where there is none, with the splits that are."""
    splits = read_manifest(shards)["splits"]
    labeled = [key for key, entry in splits.items() if entry["labels"]]
    if name in labeled:
        return ShardSplit(shards, name)
    there = f"there {'is only' if len(splits) == 1 else 'are'}: {', '.join(splits)}"
    what = f"split '{name}' has no labels" if name in splits else f"no split '{name}'"
    what += f" to {'train' if setting == 'train_split' else 'validate'} on ({there})."
    ways = [f"take another: --set {setting}={key}" for key in labeled[:1]]
    if setting == "val_split" and labeled:
        ways = [
            "make the shards again with one ([splits] in the card)",
            f"or validate on what there is, which says nothing of new pictures: --set "
            f"val_split={labeled[0]}",
        ]
    elif not labeled:
        ways = ["no split has any: make the shards again from pictures with labels"]
    raise PspError(
        f"{shards}: {what}{nearest(name, labeled)} {ways[0][0].upper()}{', '.join(ways)[1:]}"
    )


def check_batch(config: TrainConfig, ranks: int = 1) -> None:
    """Raise PspError for a batch that ranks cannot share, and for one picture at a time: batch norm
    on a 1x1 map needs more than one value (over all ranks)."""
    batch, parts = config.optimizer.batch, config.optimizer.micro_batches
    if batch % (ranks * parts):
        accumulate = f" x accumulate={parts}" if parts > 1 else ""
        raise PspError(
            f"batch={batch}: does not divide by {ranks} ranks{accumulate}. Nearest batches: "
            f"{multiples(batch, ranks * parts)}."
        )
    if batch // parts < 2 and needs_two(config):
        what = "batch=1" if batch == 1 else f"accumulate={parts}"
        raise PspError(
            f"{what}: batch norm on the pyramid's 1x1 bin needs at least two pictures at a time. "
            f"Add --batch {2 * parts} (a smaller --crop makes room), leave that bin out: --set "
            "bins=2,3,6, or keep the norms of trained weights: --set freeze_norm=all"
        )


def needs_two(config: TrainConfig) -> bool:
    """Whether batch norm must see two pictures at a time: the pyramid's 1x1 bin gives it one value
    a picture."""
    return 1 in config.network.bins and config.network.reduce and config.start.freeze_norm != "all"


def check_compile(config: TrainConfig, ranks: int) -> None:
    """Raise PspError for several ranks: torch.compile computes a batch norm over them wrongly."""
    if config.run.compile and ranks > 1:
        raise PspError(
            f"compile=true: works on one rank only, here are {ranks}: torch.compile computes batch "
            "norm over several ranks wrongly. Leave it out"
        )


def check_test(config: TrainConfig) -> None:
    """Raise PspError for a test procedure that there is not, or that does not fit the network."""
    validation(config).check_sides(config.network.align_corners)


def check_freezing(config: TrainConfig) -> None:
    """Raise PspError where frozen weights would be random."""
    for name in ("freeze", "freeze_norm"):
        value = getattr(config.start, name)
        if value != "none" and config.start.init == "none":
            raise PspError(
                f"{name}={value}: --init none has no trained weights to keep. "
                f"Start from trained weights, or leave {name} out"
            )


def check_deterministic(config: TrainConfig, device: torch.device) -> None:
    """Raise PspError where CUDA has no operation that gives the same bits each time."""
    map_side = find_backbone(config.network.backbone).map_side
    if not config.run.deterministic or device.type != "cuda":
        return
    for side in config.augmentation.size:
        if any(map_side(side) % size for size in config.network.bins):
            raise PspError(
                f"--deterministic: on CUDA, a crop must divide by all pyramid bins; {side} does "
                f"not. Nearest that do: {' or '.join(map(str, nearest_crops(side)))}."
            )


def refuse_existing(run: Run) -> None:
    """Raise PspError when the folder of a new run is taken.

    The caller holds its lock. A run that this call of torchrun began itself before a restart does
    not count while it has no checkpoint: it begins again in its folder. Nor does what is left of
    one that was killed before its config.json was there.
    """
    if run.of_launch(launch_name()) and not run.resumable:
        return
    if run.config.exists():
        raise PspError(
            f"{run.folder}: exists already. Continue it with --resume, or choose another -o"
        )
    early = {run.lock.name, f"{run.config.name}.tmp", run.tensorboard.name}
    if any(path.name not in early for path in run.folder.iterdir()):
        raise PspError(f"{run.folder}: exists already, and is no run. Choose another -o")


def has_begun(run: Run) -> bool:
    """Whether a run that is to be resumed has come to its first checkpoint.

    One that was killed earlier begins again. If it logged more steps than there are between two
    checkpoints, it had one: it has begun, and that none is there is an error.
    """
    if run.resumable or not run.metrics.exists():
        return run.resumable
    lines = run.metrics.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    steps = (step for step in map(step_of, lines) if math.isfinite(step))
    return max(steps, default=0) > run.training_config().save_interval


def check_resume(run: Run, data: ShardSplit, config: TrainConfig) -> None:
    """Raise PspError if a resumed run would compute something else than it did before."""
    old = run.read_config()
    changed = differences(run.training_config(), config)
    if changed:
        raise PspError(
            f"{run.folder}: --resume with other settings ({'; '.join(changed)}). "
            "Leave them out, or start a new run with another -o"
        )
    if old["data_fingerprint"] != data.fingerprint:
        raise PspError(
            f"{data.folder}: not the shards that {run.folder} was trained with ({old['data']}). "
            "Give those, or start a new run with another -o"
        )

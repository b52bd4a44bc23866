"""How a run starts: with initial weights, or where its newest intact checkpoint left off."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from psp.data.shards import ShardSplit
from psp.device import compiled, pick_precision, precision_name
from psp.errors import PspError
from psp.headers import Fields, is_number, is_whole
from psp.model.architecture import Architecture, architecture_from
from psp.model.preprocessing import Preprocessing, preprocessing_from
from psp.model.pspnet import Logits, PSPNet, build, build_shapes
from psp.runs import Run
from psp.settings.config import TrainConfig
from psp.settings.optimizer import OptimizerSettings
from psp.train.checkpoint import load_checkpoint
from psp.train.distributed import Ranks
from psp.train.ema import Ema
from psp.train.finetune import Beginning
from psp.train.freeze import freeze
from psp.train.init import draw_new_layers, inherit, initialize
from psp.train.loss import Criterion, class_weights
from psp.train.optim import parameter_groups
from psp.train.state import TrainingState
from psp.zoo.tensors import mismatches


def begin(
    run: Run,
    config: TrainConfig,
    data: ShardSplit,
    val_data: ShardSplit,
    *,
    ranks: Ranks,
    device: torch.device,
    resume: bool,
    stop: Callable[[], bool],
) -> TrainingState:
    """Build the network from its initial weights, or from the run's newest intact checkpoint.

    Writes nothing. Raises PspError for weights or a checkpoint that do not fit. Of several ranks
    the first reads the initial weights; all read the checkpoint.
    """
    torch.manual_seed(config.run.seed)
    beginning = Beginning(())
    spec = architecture_of(config, len(data.card.classes))
    stored: dict[str, Any] = {}
    if resume:
        with ranks.all_or_raise():
            stored, remarks = load_checkpoint(run.checkpoints)
            network, preprocessing = _network_from(stored, spec, run, config)
        beginning = Beginning((), tuple(map(str, stored.get("reused") or ())))
        ranks.check_same(stored["step"], "newest checkpoint, of step")
        at_end = stored["step"] == stored["best"]["validated"]
        since, patience = stored["best"].get("since", 0), config.run.patience
        if at_end and (
            stored["step"] == config.optimizer.steps or (patience and since >= patience)
        ):
            remarks.append(f"nothing to do: finished at step {stored['step']}")
        else:
            remarks.append(f"resumed at step {stored['step']} of {config.optimizer.steps}")
            remarks += _changes(run, config, device, ranks.total) if ranks.first else []
    else:
        spec, preprocessing = ranks.broadcast(lambda: inherit(spec, config.start.init))
        network = build(spec)
        draw_new_layers(network, config.start.new_layers)
        names = data.card.names
        beginning = ranks.broadcast(lambda: initialize(network, config.start.init, names))
        remarks = list(beginning.remarks)
        _check_statistics(network, config)
    if config.run.deterministic:
        how = "slower kernels" if device.type == "cuda" else "on a CPU, every run is"
        remarks.append(f"deterministic: this run can be repeated bit for bit ({how})")
    if config.run.compile:
        remarks.append("compile: the first step compiles the network, which takes a minute or more")
    freeze(network, config.start.freeze)
    # torch's type stubs lack this form of to().
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ranks.broadcast_weights(network)
    # A copy of the network, made before its batch norms know of other ranks.
    ema = Ema(network, config.optimizer.ema) if config.optimizer.ema > 0 else None
    state = TrainingState(
        run,
        config,
        data,
        val_data,
        network,
        _parallel(network, config, ranks, device),
        ranks,
        ema,
        _criterion(network, config, data, device),
        _optimizer(network, config.optimizer, device, beginning.reused),
        device,
        pick_precision(config.run.precision, device),
        preprocessing,
        stop,
        remarks,
        beginning.reused,
        beginning.record,
    )
    if resume:
        state.start, state.best = stored["step"], stored["best"]
        try:
            state.optimizer.load_state_dict(stored["optimizer"])
            if state.ema is not None:
                state.ema.network.load_state_dict(stored["average"])
        except (KeyError, TypeError, AttributeError, RuntimeError, ValueError):
            raise PspError(_of_another_run(run)) from None
    return state


def _check_statistics(network: PSPNet, config: TrainConfig) -> None:
    """Raise PspError where the head's batch norms would keep statistics of nothing."""
    statistics = network.head.bn.state_dict()
    mean, variance = statistics["running_mean"], statistics["running_var"]
    fresh = not mean.any() and bool((variance == 1).all())
    if config.start.freeze_norm == "all" and fresh:
        raise PspError(
            f"freeze_norm=all: {config.start.init} has no statistics for the head's batch norms, "
            "which are new. Start from a trained psp model, or: --set freeze_norm=backbone"
        )


def architecture_of(config: TrainConfig, classes: int) -> Architecture:
    """Return the network that the settings describe."""
    return Architecture(**asdict(config.network), classes=classes, aux=config.loss.aux_weight > 0)


def _criterion(
    network: PSPNet, config: TrainConfig, data: ShardSplit, device: torch.device
) -> Criterion:
    weights = None
    if config.loss.class_weights != "none":
        weights = torch.from_numpy(class_weights(data.pixels, config.loss.class_weights)).to(device)
    side = network.backbone.map_side
    return Criterion(config.loss, network.spec.align_corners, weights, side)


def _parallel(
    network: PSPNet, config: TrainConfig, ranks: Ranks, device: torch.device
) -> Callable[[Tensor], Logits]:
    parallel: Callable[[Tensor], Logits] = ranks.wrap(network, device)
    with ranks.all_or_raise():
        if config.run.compile:
            parallel = compiled(parallel, device)
    return parallel


def _optimizer(
    network: PSPNet, settings: OptimizerSettings, device: torch.device, reused: tuple[str, ...]
) -> torch.optim.SGD:
    groups = parameter_groups(network, settings, pretrained="backbone.", reused=reused)
    fused = device.type in ("cuda", "cpu")  # one kernel for all weights
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, fused=fused)


def _network_from(
    stored: dict[str, Any], spec: Architecture, run: Run, config: TrainConfig
) -> tuple[PSPNet, Preprocessing]:
    """Return a checkpoint's network, and the preprocessing it is trained with.

    `spec` is what the settings say; the checkpoint also knows what came with the initial weights.
    Raises PspError for a checkpoint of another run.
    """
    where = f"{run.checkpoints}: the newest checkpoint"
    if "architecture" in stored:
        spec = architecture_from(stored["architecture"], where)
    preprocessing = preprocessing_from(
        Fields(stored.get("preprocessing", {}), where, "preprocessing.")
    )
    try:
        expected = build_shapes(spec).state_dict()
        states = [stored["network"], *([stored["average"]] if config.optimizer.ema else [])]
        best = Fields(stored["best"], where, "best.")
        fits = (
            not any(mismatches(state, expected) for state in states)
            and stored["step"] <= config.optimizer.steps
            and is_number(best.get("miou", None), -1, 1)
            and is_whole(best.get("step", None))
            and is_whole(best.get("validated", None))
            and isinstance(stored["optimizer"], dict)
            and is_whole(best.get("since", 0))
            and isinstance(stored.get("reused", []), list)
        )
        if fits:
            network = build(spec)
            network.load_state_dict(stored["network"])
            return network, preprocessing
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError):
        pass
    raise PspError(_of_another_run(run))


def _of_another_run(run: Run) -> str:
    return (
        f"{run.checkpoints}: the newest checkpoint is not of this run. Remove it, and resume again"
    )


def _changes(run: Run, config: TrainConfig, device: torch.device, ranks: int) -> list[str]:
    """Return what is not a setting, differs from the run's beginning, and changes its numbers."""
    before, remarks = run.read_config(), []
    now = precision_name(pick_precision(config.run.precision, device))
    if before.get("precision", now) != now:
        remarks.append(
            f"it began in {before['precision']} and continues in {now}: numbers may differ"
        )
    if before.get("ranks", ranks) != ranks:
        remarks.append(
            f"it began on {before['ranks']} ranks and continues on {ranks}: the same pictures a "
            "step, but other dropout, and sums are rounded differently"
        )
    threads = torch.get_num_threads()
    if device.type == "cpu" and before.get("threads", threads) != threads:
        remarks.append(
            f"it began with {before['threads']} threads and continues with {threads}: sums are "
            f"rounded differently. For the same bits: OMP_NUM_THREADS={before['threads']}"
        )
    return remarks

"""A training run that is about to go on: its network, optimizer and data, begun or resumed."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from psp.data.shards import ShardSplit
from psp.device import compiled, pick_precision, precision_name
from psp.errors import PspError
from psp.files import write_json
from psp.model.architecture import Architecture, architecture_from
from psp.model.preprocessing import Preprocessing
from psp.model.pspnet import Logits, PSPNet, build
from psp.ranks import launch_name
from psp.runs import Run
from psp.settings.config import TrainConfig
from psp.train.checkpoint import load_checkpoint
from psp.train.distributed import Ranks
from psp.train.ema import Ema
from psp.train.freeze import freeze
from psp.train.init import inherit, initialize
from psp.train.loss import Criterion, class_weights
from psp.train.optim import parameter_groups
from psp.train.run_log import Event, Notice, RunLog
from psp.version import __version__


@dataclass
class Job:
    """A run in progress. `average` follows `network` where the run keeps averaged weights.

    `parallel` is what a step calls: the network, or what makes it one with those of other ranks.
    """

    run: Run
    config: TrainConfig
    data: ShardSplit
    val_data: ShardSplit
    network: PSPNet
    parallel: Callable[[Tensor], Logits]
    ranks: Ranks
    average: Ema | None
    criterion: Criterion
    optimizer: torch.optim.SGD
    device: torch.device
    precision: torch.dtype
    preprocessing: Preprocessing
    stop: Callable[[], bool]
    remarks: list[str]
    journal: Callable[[Event], None] = field(default=lambda event: None)  # until it is introduced
    start: int = 0
    best: dict[str, Any] = field(default_factory=lambda: {"miou": -1.0, "step": 0, "validated": 0})

    @property
    def kept(self) -> PSPNet:
        """The network whose weights are validated and kept."""
        return self.network if self.average is None else self.average.network

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs, as tensors and plain types."""
        return {
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "architecture": self.network.spec.to_dict(),
            "preprocessing": asdict(self.preprocessing),
        }


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
) -> Job:
    """Build the network from its initial weights, or from the run's newest whole checkpoint.

    Writes nothing. Raises PspError for weights or a checkpoint that do not fit. Of several ranks
    the first reads the initial weights; all read the checkpoint.
    """
    torch.manual_seed(config.seed)
    remarks: list[str]
    spec = _architecture(config, len(data.card.classes))
    state: dict[str, Any] = {}
    if resume:
        with ranks.all_or_raise():
            state, remarks = load_checkpoint(run.checkpoints)
            network, preprocessing = _network_from(state, spec, run, config)
        ranks.check_same(state["step"], "newest checkpoint, of step")
        if state["step"] == state["best"]["validated"] == config.steps:
            remarks.append(f"nothing to do: finished at step {config.steps}")
        else:
            remarks.append(f"resumed at step {state['step']} of {config.steps}")
            remarks += _drift(run, config, device, ranks.total) if ranks.first else []
    else:
        spec, preprocessing = ranks.share(lambda: inherit(spec, config.init))
        network = build(spec)
        remarks = [ranks.share(lambda: initialize(network, config.init, data.card.names))]
        _check_statistics(network, config)
    if config.deterministic:
        how = "slower kernels" if device.type == "cuda" else "on a CPU, what every run does"
        remarks.append(f"deterministic: this run repeats bit for bit ({how})")
    if config.compile:
        remarks.append("compile: the first step compiles the network, which takes a minute or more")
    freeze(network, config.freeze)
    # torch's type stubs lack this form of to().
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ranks.spread(network)
    average = Ema(network, config.ema) if config.ema > 0 else None
    job = Job(
        run,
        config,
        data,
        val_data,
        network,
        _parallel(network, config, ranks, device),
        ranks,
        average,
        _criterion(network, config, data, device),
        _optimizer(network, config, device),
        device,
        pick_precision(config.precision, device),
        preprocessing,
        stop,
        remarks,
    )
    if resume:
        job.start, job.best = state["step"], state["best"]
        job.optimizer.load_state_dict(state["optimizer"])
        if job.average is not None:
            job.average.network.load_state_dict(state["average"])
    return job


def begin_log(
    job: Job, command: str, resume: bool, listeners: Sequence[Callable[[Event], None]]
) -> None:
    """Begin the journal, and config.json of a new run: the first rank writes and is heard."""
    if not job.ranks.first:
        return
    job.journal = RunLog(job.run, job.start, listeners)
    if not resume:
        write_json(job.run.config, _description(job, command))
    remarks = [f"run folder: {job.run.folder}", _introduction(job), *job.remarks]
    if (parts := job.config.parts) > 1:
        remarks.append(
            f"accumulate={parts}: batch norm sees {job.config.batch // parts} pictures at a time, "
            f"not the {job.config.batch} of a step"
        )
    for remark in remarks:
        job.journal(Notice(remark))


def _check_statistics(network: PSPNet, config: TrainConfig) -> None:
    """Raise PspError where the head's batch norms would keep statistics of nothing."""
    statistics = network.head.bn.state_dict()
    mean, variance = statistics["running_mean"], statistics["running_var"]
    fresh = not mean.any() and bool((variance == 1).all())
    if config.freeze_norm == "all" and fresh:
        raise PspError(
            f"freeze_norm=all: {config.init} has no statistics for the head's batch norms, which "
            "are new. Start from a trained psp model, or: --set freeze_norm=backbone"
        )


def _architecture(config: TrainConfig, classes: int) -> Architecture:
    return Architecture(
        classes=classes,
        backbone=config.backbone,
        stem=config.stem,
        bins=config.bins,
        pooling=config.pooling,
        reduce=config.reduce,
        aux=config.aux_weight > 0,
        dropout=config.dropout,
        dropout_kind=config.dropout_kind,
        norm_momentum=config.norm_momentum,
    )


def _criterion(
    network: PSPNet, config: TrainConfig, data: ShardSplit, device: torch.device
) -> Criterion:
    weights = None
    if config.class_weights != "none":
        weights = torch.from_numpy(class_weights(data.pixels, config.class_weights)).to(device)
    return Criterion(
        aux_weight=config.aux_weight,
        loss_stride=config.loss_stride,
        align_corners=network.spec.align_corners,
        class_weights=weights,
        ohem=config.ohem,
        ohem_keep=config.ohem_keep,
    )


def _parallel(
    network: PSPNet, config: TrainConfig, ranks: Ranks, device: torch.device
) -> Callable[[Tensor], Logits]:
    parallel: Callable[[Tensor], Logits] = ranks.parallel(network, device)
    with ranks.all_or_raise():
        if config.compile:
            parallel = compiled(parallel, device)
    return parallel


def _optimizer(network: PSPNet, config: TrainConfig, device: torch.device) -> torch.optim.SGD:
    groups = parameter_groups(
        network,
        pretrained="backbone.",
        head_lr=config.head_lr,
        bias_lr=config.bias_lr,
        weight_decay=config.weight_decay,
        norm_decay=config.norm_decay,
    )
    fused = device.type in ("cuda", "cpu")  # one kernel for all weights
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=fused)


def _network_from(
    state: dict[str, Any], spec: Architecture, run: Run, config: TrainConfig
) -> tuple[PSPNet, Preprocessing]:
    """Return a checkpoint's network, and the preprocessing it is trained with.

    `spec` is what the settings say; the checkpoint also knows what came with the initial weights.
    Raises PspError for a checkpoint of another run.
    """
    try:
        if "architecture" in state:
            spec = architecture_from(state["architecture"])
        network = build(spec)
        network.load_state_dict(state["network"])
        preprocessing = Preprocessing(**state.get("preprocessing", {}))
        averaged = config.ema == 0 or state["average"].keys() == state["network"].keys()
        if averaged and state["step"] <= config.steps and {"optimizer", "best"} <= state.keys():
            return network, preprocessing
    except (KeyError, TypeError, AttributeError, RuntimeError, PspError):
        pass
    raise PspError(
        f"{run.checkpoints}: the newest checkpoint is not of this run. Remove it, and resume again"
    )


def _drift(run: Run, config: TrainConfig, device: torch.device, ranks: int) -> list[str]:
    """Return what is not a setting, differs from the run's beginning, and changes its numbers."""
    before, remarks = run.read_config(), []
    now = precision_name(pick_precision(config.precision, device))
    if before.get("precision", now) != now:
        remarks.append(
            f"it began in {before['precision']} and goes on in {now}: numbers may differ"
        )
    if before.get("ranks", ranks) != ranks:
        remarks.append(
            f"it began on {before['ranks']} ranks and goes on with {ranks}: the same pictures a "
            "step, but other dropout, and sums are rounded differently"
        )
    threads = torch.get_num_threads()
    if device.type == "cpu" and before.get("threads", threads) != threads:
        remarks.append(
            f"it began with {before['threads']} threads and goes on with {threads}: sums are "
            f"rounded differently. For the same bits: OMP_NUM_THREADS={before['threads']}"
        )
    return remarks


def _introduction(job: Job) -> str:
    count = sum(parameter.numel() for parameter in job.network.parameters())
    ranks = "" if job.ranks.alone else f"{job.ranks.total} ranks, this one "
    text = (
        f"{job.config.backbone}, {len(job.data.card.classes)} classes, {count / 1e6:.1f} M "
        f"parameters, {ranks}on {job.device} in {precision_name(job.precision)}; "
        f"{len(job.data)} pictures to train on, {len(job.val_data)} to validate on"
    )
    if job.config.limit is not None:
        text += ", the same ones: an overfit check"
    return text


def _description(job: Job, command: str) -> dict[str, Any]:
    device = job.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "settings": asdict(job.config),
        "data": str(job.data.folder.resolve()),
        "data_fingerprint": job.data.fingerprint,
        "command": command,
        "launch": launch_name(),
        "ranks": job.ranks.total,
        "device": f"{device} {name}".strip(),
        "threads": torch.get_num_threads(),
        "precision": precision_name(job.precision),
        "versions": {
            "psp": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }

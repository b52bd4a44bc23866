"""psp train: the loop, and what it needs around it."""

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psp.augment import Augmentation
from psp.checkpoint import load_checkpoint, save_checkpoint
from psp.config import TrainConfig
from psp.device import autocast, pick_precision, precision_name
from psp.errors import PspError
from psp.files import write_json
from psp.infer import Protocol, segmenter
from psp.initial import initialize
from psp.journal import Event, Journal, Meter, Notice, Tick, Validating, Validation
from psp.loader import Crops, batches
from psp.loss import losses
from psp.model import Architecture, PSPNet, build
from psp.preflight import check_batch, check_resume, open_splits, refuse_existing
from psp.preprocessing import Preprocessing
from psp.runs import Run
from psp.schedule import parameter_groups, poly
from psp.score import score_split
from psp.shards import ShardSplit
from psp.version import __version__
from psp.weights import Header, save_weights
from psp.workers import cores


class _Stopped(Exception):
    """The user asked to stop while a validation was running."""


@dataclass
class _Job:
    """A run in progress."""

    run: Run
    config: TrainConfig
    data: ShardSplit
    val_data: ShardSplit
    network: PSPNet
    optimizer: torch.optim.SGD
    device: torch.device
    precision: torch.dtype
    journal: Journal
    stop: Callable[[], bool]
    preprocessing: Preprocessing
    start: int = 0
    best: dict[str, Any] = field(default_factory=lambda: {"miou": -1.0, "step": 0, "validated": 0})


def train(
    shards: Path,
    run: Run,
    config: TrainConfig,
    *,
    device: torch.device,
    command: str = "",
    resume: bool = False,
    report: Callable[[Event], None] = lambda event: None,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train on the shards and write the run's folder; return False if `stop` ended it early.

    At the end, and when `stop` says so, a checkpoint is written that `resume` goes on from; the
    result is then that of an undisturbed run. Raises PspError for anything that is the user's to
    mend, before the first step where that can be known.
    """
    data, val_data = open_splits(shards, config)
    check_batch(config)
    if resume:
        check_resume(run, data, config)
    else:
        refuse_existing(run)
    torch.manual_seed(config.seed)
    network = build(_architecture(config, len(data.card.classes)))
    state: dict[str, Any] = {}
    if resume:
        state, remarks = load_checkpoint(run.checkpoints)
        _load_state(network, state, run, config)
        if state["step"] == state["best"]["validated"] == config.steps:
            raise PspError(
                f"{run.folder}: finished at step {config.steps}. See: psp evaluate {run.folder}"
            )
        remarks.append(f"resumed at step {state['step']} of {config.steps}")
    else:
        remarks = [initialize(network, config.init, data.card.names)]
    # torch's type stubs lack this form of to().
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    job = _Job(
        run, config, data, val_data, network, _optimizer(network, config), device,
        pick_precision(config.precision, device), Journal(run, state.get("step"), report), stop,
        Preprocessing(),
    )  # fmt: skip
    if resume:
        job.start, job.best = state["step"], state["best"]
        job.optimizer.load_state_dict(state["optimizer"])
        before, now = run.read_config().get("precision"), precision_name(job.precision)
        if before != now:
            remarks.append(f"it began in {before} and goes on in {now}: numbers may differ")
    else:
        write_json(run.config, _description(data, config, command, device))
    job.journal(Notice(f"run folder: {run.folder}"))
    job.journal(Notice(_introduction(job)))
    for remark in remarks:
        job.journal(Notice(remark))
    return _loop(job)


def _loop(job: _Job) -> bool:
    config, meter = job.config, Meter(job.config)
    stream = _stream(job)
    job.network.train()
    for step in range(job.start, config.steps + 1):
        done = step == config.steps
        if step > job.best["validated"] and (done or step % config.eval_interval == 0):
            with meter.paused():
                _validate(job, step)
        stopped = job.stop()
        if done or stopped or (step > job.start and step % config.save_interval == 0):
            _checkpoint(job, step)
        if done or stopped:
            return done and job.best["validated"] == config.steps
        lr = config.lr * poly(step, config.steps, config.power)
        values = _step(job, next(stream), step, lr)
        meter.add(values)
        job.journal(Tick(step + 1))
        if (step + 1) % config.log_interval == 0 or step + 1 == config.steps:
            job.journal(meter.report(step + 1, lr))
    raise AssertionError("the last step returns")


def _step(job: _Job, batch: tuple[Tensor, Tensor], step: int, lr: float) -> Tensor:
    """Do one optimizer step; return the (3,) losses total, main, aux, on the device."""
    config = job.config
    # What is random in a step (dropout) is a function of the seed and the step alone.
    torch.manual_seed(int(np.random.SeedSequence([config.seed, step]).generate_state(1)[0]))
    for group in job.optimizer.param_groups:
        group["lr"] = lr * group["factor"]
    images, labels = (part.to(job.device, non_blocking=True) for part in batch)
    with autocast(job.device, job.precision):
        logits = job.network(job.preprocessing(images))  # (B, classes, crop / 8, crop / 8)
    loss = losses(
        logits,
        labels,
        aux_weight=config.aux_weight,
        loss_stride=config.loss_stride,
        align_corners=job.network.spec.align_corners,
    )
    job.optimizer.zero_grad(set_to_none=True)
    loss.total.backward()  # type: ignore[no-untyped-call]  # untyped in torch
    job.optimizer.step()
    return torch.stack([loss.total.detach(), loss.main, loss.aux])


def _stream(job: _Job) -> Iterator[tuple[Tensor, Tensor]]:
    config = job.config
    spec = Augmentation(
        crop=config.crop,
        scale_min=config.scale_min,
        scale_max=config.scale_max,
        rotate=config.rotate,
        rotate_probability=config.rotate_probability,
        blur=config.blur,
        flip=config.flip,
        fill=job.preprocessing.fill,
    )
    steps = range(job.start, config.steps)
    workers = _workers(config, job.device)
    crops = Crops(job.data, spec, config.seed)
    return batches(crops, config.batch, steps, workers, pin=job.device.type == "cuda")


def _validate(job: _Job, step: int) -> None:
    """Score whole pictures; write the last weights, and the best ones if these are."""

    def progress(done: int) -> None:
        job.journal(Validating(done, len(job.val_data)))
        if job.stop():
            raise _Stopped

    begin = time.perf_counter()
    job.network.eval()
    model = segmenter(job.network, job.preprocessing, job.device, job.precision)
    protocol = Protocol(job.config.crop, job.config.base_size)
    try:
        scores = score_split(model, job.val_data, protocol, progress).scores()
    except _Stopped:
        return
    finally:
        job.network.train()
    best = scores.miou > job.best["miou"]
    job.best["validated"] = step
    _save(job, "last", step)
    if best:
        job.best |= {"miou": scores.miou, "step": step}
        _save(job, "best", step)
    job.journal(
        Validation(
            step=step,
            miou=scores.miou,
            mean_accuracy=scores.mean_accuracy,
            pixel_accuracy=scores.pixel_accuracy,
            best=best,
            seconds=time.perf_counter() - begin,
        )
    )


def _save(job: _Job, which: str, step: int) -> None:
    card = job.data.card
    header = Header(
        architecture=job.network.spec,
        classes=card.names,
        palette=card.palette,
        dataset=card.name,
        data=job.data.fingerprint,
        crop=job.config.crop,
        base_size=job.config.base_size,
        step=step,
        preprocessing=job.preprocessing,
    )
    save_weights(job.run.weights(which), job.network.state_dict(), header)


def _checkpoint(job: _Job, step: int) -> None:
    state = {
        "network": job.network.state_dict(),
        "optimizer": job.optimizer.state_dict(),
        "best": job.best,
    }
    save_checkpoint(job.run.checkpoints, step, state)


def _introduction(job: _Job) -> str:
    count = sum(parameter.numel() for parameter in job.network.parameters())
    return (
        f"{job.config.backbone}, {len(job.data.card.classes)} classes, {count / 1e6:.1f} M "
        f"parameters, on {job.device} in {precision_name(job.precision)}; "
        f"{len(job.data)} pictures to train on, {len(job.val_data)} to validate on"
    )


def _load_state(network: PSPNet, state: dict[str, Any], run: Run, config: TrainConfig) -> None:
    """Put a checkpoint's tensors into the network. Raises PspError for one of another run."""
    try:
        network.load_state_dict(state["network"])
        fits = state["step"] <= config.steps and {"optimizer", "best"} <= state.keys()
    except (KeyError, TypeError, RuntimeError):
        fits = False
    if not fits:
        raise PspError(
            f"{run.checkpoints}: the newest checkpoint is not of this run. "
            "Remove it, and resume again"
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


def _optimizer(network: PSPNet, config: TrainConfig) -> torch.optim.SGD:
    groups = parameter_groups(
        network, pretrained="backbone.", head_lr=config.head_lr, bias_lr=config.bias_lr,
        weight_decay=config.weight_decay, norm_decay=config.norm_decay,
    )  # fmt: skip
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)


def _workers(config: TrainConfig, device: torch.device) -> int:
    """A CPU that trains needs its cores; beside a GPU they are free to load."""
    if config.workers is not None:
        return config.workers
    return 1 if device.type == "cpu" else min(cores(), 16)


def _description(
    data: ShardSplit, config: TrainConfig, command: str, device: torch.device
) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "settings": asdict(config),
        "data": str(data.folder.resolve()),
        "data_fingerprint": data.fingerprint,
        "command": command,
        "device": f"{device} {name}".strip(),
        "precision": precision_name(pick_precision(config.precision, device)),
        "versions": {
            "psp": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }

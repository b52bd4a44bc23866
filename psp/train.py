"""psp train: the loop."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from psp.augment import Augmentation
from psp.board import Board
from psp.checkpoint import save_checkpoint
from psp.config import TrainConfig
from psp.device import autocast, kernels, memory_ran_out
from psp.errors import PspError
from psp.freezing import training_mode
from psp.infer import Protocol, segmenter
from psp.job import Job, begin
from psp.journal import Event, Meter, Tick, Validating, Validation, not_finite
from psp.loader import Crops, batches
from psp.memory import advice
from psp.preflight import (
    check_batch,
    check_deterministic,
    check_freezing,
    check_resume,
    open_splits,
    refuse_existing,
)
from psp.runs import Run
from psp.schedule import poly
from psp.score import score_split
from psp.weights import Header, save_weights
from psp.workers import cores


class _Stopped(Exception):
    """The user asked to stop while a validation was running."""


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
    check_freezing(config)
    check_deterministic(config, device)
    if resume:
        check_resume(run, data, config)
    else:
        refuse_existing(run)
    with ExitStack() as around:
        around.enter_context(kernels(deterministic=config.deterministic))
        listeners = [report]
        if config.tensorboard:
            listeners.append(around.enter_context(Board(run.board)))
        job = begin(
            run, config, data, val_data,
            device=device, command=command, resume=resume, listeners=listeners, stop=stop,
        )  # fmt: skip
        return _loop(job)


def _loop(job: Job) -> bool:
    config = job.config
    crops = _crops(job)
    stream = _stream(job, crops)
    meter = Meter(
        config, lambda step: crops.names(range(step * config.batch, (step + 1) * config.batch))
    )
    training_mode(job.network, config.freeze, config.freeze_norm)
    for step in range(job.start, config.steps + 1):
        done = step == config.steps
        if step > job.best["validated"] and (done or step % config.eval_interval == 0):
            _check_finite(job, meter, step)
            with meter.paused():
                _validate(job, step)
        stopped = job.stop()
        if done or stopped or (step > job.start and step % config.save_interval == 0):
            _check_finite(job, meter, step)
            save_checkpoint(job.run.checkpoints, step, job.state())
        if done or stopped:
            return done and job.best["validated"] == config.steps
        lr = config.lr * poly(step, config.steps, config.power)
        values = _try_step(job, [next(stream) for _ in range(config.accumulate)], step, lr)
        if values is None:
            raise PspError(advice(job))
        meter.add(values)
        job.journal(Tick(step + 1))
        if (step + 1) % config.log_interval == 0 or step + 1 == config.steps:
            job.journal(meter.report(step + 1, lr))
    raise AssertionError("the last step returns")


def _try_step(job: Job, parts: list[tuple[Tensor, Tensor]], step: int, lr: float) -> Tensor | None:
    """Do `_step`; return None when it does not fit the memory, with its tensors let go."""
    try:
        return _step(job, parts, step, lr)
    except (RuntimeError, MemoryError) as error:
        if memory_ran_out(error):
            return None
        raise


def _step(job: Job, parts: list[tuple[Tensor, Tensor]], step: int, lr: float) -> Tensor:
    """Do one optimizer step; return the (3,) losses total, main, aux, on the device."""
    # What is random in a step (dropout) is a function of the seed and the step alone.
    seed = np.random.SeedSequence([job.config.seed, step]).generate_state(1)[0]
    torch.manual_seed(int(seed))
    for group in job.optimizer.param_groups:
        group["lr"] = lr * group["factor"]
    job.optimizer.zero_grad(set_to_none=True)
    here = [tuple(tensor.to(job.device, non_blocking=True) for tensor in part) for part in parts]
    whole = torch.stack([job.criterion.weigh(labels) for _, labels in here]).sum()
    found = torch.zeros(3, device=job.device)
    for images, labels in here:
        with autocast(job.device, job.precision):
            logits = job.network(job.preprocessing(images))  # (B, classes, crop / 8, crop / 8)
        loss = job.criterion(logits, labels, whole)
        loss.total.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        found += torch.stack([loss.total.detach(), loss.main, loss.aux])
    job.optimizer.step()
    if job.average is not None:
        job.average.update(job.network, step + 1)
    return found


def _crops(job: Job) -> Crops:
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
    return Crops(job.data, spec, config.seed)


def _stream(job: Job, crops: Crops) -> Iterator[tuple[Tensor, Tensor]]:
    """Return the parts of all steps still to do, `accumulate` a step."""
    config, parts = job.config, job.config.accumulate
    return batches(
        crops,
        config.batch // parts,
        range(job.start * parts, config.steps * parts),
        _workers(config, job.device),
        pin=job.device.type == "cuda",
    )


def _validate(job: Job, step: int) -> None:
    """Score whole pictures; write the last weights, and the best ones if these are."""

    def progress(done: int) -> None:
        job.journal(Validating(done, len(job.val_data)))
        if job.stop():
            raise _Stopped

    begin = time.perf_counter()
    job.kept.eval()
    model = segmenter(job.kept, job.preprocessing, job.device, job.precision)
    protocol = Protocol(job.config.crop, job.config.base_size)
    try:
        scores = score_split(model, job.val_data, protocol, progress).scores()
    except _Stopped:
        return
    finally:
        training_mode(job.network, job.config.freeze, job.config.freeze_norm)
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


def _save(job: Job, which: str, step: int) -> None:
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
    save_weights(job.run.weights(which), job.kept.state_dict(), header)


def _check_finite(job: Job, meter: Meter, step: int) -> None:
    """Raise PspError rather than keep weights that have run away in the `step` steps done."""
    meter.check(step)
    finite = [weight.isfinite().all() for weight in job.network.state_dict().values()]
    if step > 0 and not bool(torch.stack(finite).all()):
        raise not_finite("a weight is not finite", step - 1, meter.names(step - 1), job.config)


def _workers(config: TrainConfig, device: torch.device) -> int:
    """A CPU that trains needs its cores; beside a GPU they are free to load."""
    if config.workers is not None:
        return config.workers
    return 1 if device.type == "cpu" else min(cores(), 16)

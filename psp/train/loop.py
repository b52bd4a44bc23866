"""psp train: the loop."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from psp.data.augment import Augmentation
from psp.data.loader import Crops, batches
from psp.device import autocast, kernels, memory_ran_out
from psp.errors import PspError
from psp.evaluate.count import score_split
from psp.evaluate.metrics import Confusion
from psp.files import file_lock
from psp.model.inference import sliding_window
from psp.model.procedure import Procedure
from psp.model.weights import Header, save_weights
from psp.ranks import ranks_here
from psp.runs import Run
from psp.settings.config import TrainConfig
from psp.train.checkpoint import save_checkpoint
from psp.train.checks import (
    check_batch,
    check_compile,
    check_deterministic,
    check_freezing,
    check_resume,
    open_splits,
    refuse_existing,
)
from psp.train.distributed import Ranks, twin
from psp.train.freeze import training_mode
from psp.train.memory import advice, fit_batch
from psp.train.optim import poly
from psp.train.run_log import (
    Event,
    Meter,
    Tick,
    Validating,
    Validation,
    not_finite,
)
from psp.train.state import Job, begin, begin_log
from psp.train.tensorboard import TensorBoardLog
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
    ranks: Ranks | None = None,
) -> bool:
    """Train on the shards and write the run's folder; return False if `stop` ended it early.

    At the end, and when `stop` says so, a checkpoint is written that `resume` goes on from; the
    result is then that of an undisturbed run. Every rank of a `ranks` calls it; the first one writes
    and reports, and what stops one stops all. Raises PspError for anything that is the user's to
    mend, before the first step where that can be known; of several ranks, one raises it and the
    others ReportedError.
    """
    ranks = ranks or Ranks()
    if resume and config.accumulate is None:  # as it was found at the beginning
        config = ranks.share(lambda: replace(config, accumulate=run.training_config().accumulate))
    with ranks.all_or_raise():
        data, val_data = open_splits(shards, config)
        check_batch(config, ranks.total)
        check_compile(config, ranks.total)
        check_freezing(config)
        check_deterministic(config, device)
        if resume and ranks.first:
            check_resume(run, data, config)
        elif ranks.first:
            refuse_existing(run)
    ranks.check_same(data.fingerprint, "set of shards")
    with ExitStack() as around:
        around.enter_context(kernels(deterministic=config.deterministic))
        listeners = [report]
        with ranks.all_or_raise():
            if resume and ranks.first:
                around.enter_context(file_lock(run.lock))
            if config.tensorboard and ranks.first:
                listeners.append(around.enter_context(TensorBoardLog(run.board)))
        job = begin(
            run, config, data, val_data, ranks=ranks, device=device, resume=resume, stop=stop
        )
        fit_batch(job)
        with ranks.all_or_raise():
            begin_log(job, command, resume, listeners)
            if not resume and ranks.first:  # the folder is there since now
                around.enter_context(file_lock(run.lock))
        try:
            return _loop(job)
        except PspError as error:
            raise ranks.report_failure(error) from error.__cause__
        except RuntimeError as error:
            if (found := ranks.lost(error)) is not None:
                raise found from None
            raise


def _loop(job: Job) -> bool:
    config = job.config
    crops = _crops(job)
    stream = _stream(job, crops)
    meter = Meter(
        config,
        lambda step: crops.names(range(step * config.batch, (step + 1) * config.batch)),
        job.ranks.rows,
    )
    training_mode(job.network, config.freeze, config.freeze_norm)
    for step in range(job.start, config.steps + 1):
        done = step == config.steps
        if step > job.best["validated"] and (done or step % config.eval_interval == 0):
            _check_finite(job, meter, step)
            with meter.paused():
                _validate(job, step)
        stopped = job.ranks.stopped(job.stop())
        if done or stopped or (step > job.start and step % config.save_interval == 0):
            _check_finite(job, meter, step)
            if job.ranks.first:
                save_checkpoint(job.run.checkpoints, step, job.state())
        if done or stopped:
            return done and job.best["validated"] == config.steps
        lr = config.lr * poly(step, config.steps, config.power)
        values = _try_step(job, [next(stream) for _ in range(config.parts)], step, lr)
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
        if step == job.start and not job.ranks.alone:
            _order_buckets(job, parts[0])
        return _step(job, parts, step, lr)
    except (RuntimeError, MemoryError) as error:
        if memory_ran_out(error):
            return None
        raise


def _step(job: Job, parts: list[tuple[Tensor, Tensor]], step: int, lr: float) -> Tensor:
    """Do one optimizer step; return the (3,) losses total, main, aux, on the device."""
    # What is random in a step (dropout) is a function of the seed, the step and the rank alone.
    torch.manual_seed(step_seed(job.config.seed, step, job.ranks.rank))
    for group in job.optimizer.param_groups:
        group["lr"] = lr * group["factor"]
    job.optimizer.zero_grad(set_to_none=True)
    here = [tuple(tensor.to(job.device, non_blocking=True) for tensor in part) for part in parts]
    whole = torch.stack([job.criterion.total_weight(labels) for _, labels in here]).sum()
    whole = job.ranks.whole(whole, job.stop)
    found = torch.zeros(3, device=job.device)
    for number, (images, labels) in enumerate(here, start=1):
        # Gradients travel once a step, while the last part's are computed.
        with nullcontext() if number == len(here) else job.ranks.unsynced():
            with autocast(job.device, job.precision):
                logits = job.parallel(job.preprocessing(images))  # (B, classes, crop / 8, crop / 8)
            loss = job.criterion(logits, labels, whole)
            # The mean over the ranks that comes out is then the sum over all pixels.
            (loss.total * job.ranks.total).backward()  # type: ignore[no-untyped-call]
        found += torch.stack([loss.total.detach(), loss.main, loss.aux])
    job.optimizer.step()
    if job.average is not None:
        job.average.update(job.network, step + 1)
    return found


def _order_buckets(job: Job, part: tuple[Tensor, Tensor]) -> None:
    """Do a forward and a backward pass that leaves no trace but in DDP.

    It groups gradients in the order in which the first backward pass had them, and from the groups
    follows in which order the ranks' are added. With that behind it from the beginning, a resumed
    run rounds as an undisturbed one.
    """
    kept = {name: buffer.clone() for name, buffer in job.network.named_buffers()}
    images, labels = (tensor.to(job.device, non_blocking=True) for tensor in part)
    with autocast(job.device, job.precision):
        logits = job.parallel(job.preprocessing(images))
    job.criterion(logits, labels).total.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for name, buffer in job.network.named_buffers():
            buffer.copy_(kept[name])
    job.optimizer.zero_grad(set_to_none=True)


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of what is random in a step. The first rank's is that of one process."""
    entropy = [seed, step, rank] if rank else [seed, step]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


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
    """Return the parts of all steps still to do."""
    config, parts = job.config, job.config.parts
    return batches(
        crops,
        config.batch // parts,
        range(job.start * parts, config.steps * parts),
        _workers(config, job.device),
        pin=job.device.type == "cuda",
        part=job.ranks.part,
    )


def _validate(job: Job, step: int) -> None:
    """Score whole pictures; write the last weights, and the best ones if these are."""
    begin = time.perf_counter()
    confusion = _confusion(job)
    if confusion is None:
        return
    scores = confusion.scores()
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


def _confusion(job: Job) -> Confusion | None:
    """Count over all ranks, each its share of the pictures; None where a stop ends it."""
    try:
        job.kept.eval()
        with job.ranks.all_or_raise():
            own = _share(job)
    finally:
        training_mode(job.network, job.config.freeze, job.config.freeze_norm)
    return None if (counts := job.ranks.counted(own)) is None else Confusion.of(counts.numpy())


def _share(job: Job) -> Tensor | None:
    """Count this rank's pictures, int64 (classes, classes); None where a stop ends it."""
    total = len(job.val_data)

    def progress(done: int) -> None:
        job.journal(Validating(min(done * job.ranks.total, total), total))
        if job.ranks.calls_off(job.stop()):
            raise _Stopped

    network = job.kept if job.ranks.alone else twin(job.kept)
    model = sliding_window(network, job.preprocessing, job.device, job.precision)
    procedure = Procedure(job.config.crop, job.config.base_size)
    try:
        found = score_split(
            model, job.val_data, procedure, progress, job.ranks.part.of(range(total))
        )
    except _Stopped:
        return None
    return torch.from_numpy(found.counts)


def _save(job: Job, which: str, step: int) -> None:
    if not job.ranks.first:
        return
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
    """A CPU that trains needs its cores; beside GPUs they are free to load, shared by the ranks."""
    if config.workers is not None:
        return config.workers
    return 1 if device.type == "cpu" else min(max(1, cores() // ranks_here()), 16)

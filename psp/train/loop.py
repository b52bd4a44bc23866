"""psp train: the loop."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from psp.data.loader import Crops, LoadingError, batches, workers_that_fit
from psp.device import autocast, kernels, memory_ran_out
from psp.errors import PspError
from psp.events import Notice, Progress
from psp.files import make_folder, write_json
from psp.locks import file_lock
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
    has_begun,
    open_splits,
    refuse_existing,
)
from psp.train.distributed import Ranks
from psp.train.freeze import training_mode
from psp.train.memory import fit_batch, out_of_memory
from psp.train.optim import poly
from psp.train.run_log import STEPS, Event, Meter, RunLog, not_finite
from psp.train.state import TrainingState, begin
from psp.train.tensorboard import TensorBoardLog
from psp.train.validate import validate
from psp.workers import cores


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

    At the end, and when `stop` returns True, a checkpoint is written that `resume` continues from;
    the result is then that of an undisturbed run. Every rank calls it; the first one writes and
    reports, and what stops one stops all. Raises PspError for an error that the user can fix,
    before the first step where it can be known by then; of several ranks, one raises it and the
    others ReportedError.
    """
    ranks = ranks or Ranks()
    if resume and config.optimizer.accumulate is None:  # as it was found at the beginning
        config = ranks.broadcast(
            lambda: config.changed(accumulate=run.training_config().optimizer.accumulate)
        )
    with ExitStack() as around:
        with ranks.all_or_raise():
            data, val_data = open_splits(shards, config)
            check_batch(config, ranks.total)
            check_compile(config, ranks.total)
            check_freezing(config)
            check_deterministic(config, device)
            if ranks.first:
                # Before anything is read or written there.
                around.enter_context(_only_user(run, report))
                check_resume(run, data, config) if resume else refuse_existing(run)
        ranks.check_same(data.fingerprint, "set of shards")
        continues = resume and ranks.broadcast(lambda: has_begun(run))
        around.enter_context(kernels(deterministic=config.run.deterministic))
        listeners = [report]
        with ranks.all_or_raise():
            if config.run.tensorboard and ranks.first:
                listeners.append(around.enter_context(TensorBoardLog(run.tensorboard)))
        state = begin(
            run, config, data, val_data, ranks=ranks, device=device, resume=continues, stop=stop
        )
        if resume and not continues:
            state.remarks.append("there is no checkpoint yet: the run begins again")
        fit_batch(state)
        with ranks.all_or_raise():
            _begin_log(state, command, continues, listeners)
        try:
            return _loop(state)
        except PspError as error:
            raise ranks.report_failure(error) from error.__cause__
        except RuntimeError as error:
            if (failure := ranks.connection_error(error)) is not None:
                raise failure from None
            raise


@contextmanager
def _only_user(run: Run, report: Callable[[Event], None]) -> Iterator[None]:
    """Hold the run's folder for the block; what is still empty after it is removed.

    Raises PspError while another process trains there.
    """
    make_folder(run.folder)
    try:
        with file_lock(run.lock, run.folder, report):
            yield
    finally:
        with suppress(OSError):  # it is not empty
            run.folder.rmdir()


def _begin_log(
    state: TrainingState, command: str, resume: bool, listeners: Sequence[Callable[[Event], None]]
) -> None:
    """Begin the run log, and config.json of a new run: the first rank writes and reports."""
    if not state.ranks.first:
        return
    state.log = RunLog(state.run, state.start, listeners)
    if not resume:
        write_json(state.run.config, state.to_config(command))
    remarks = [f"run folder: {state.run.folder}", state.description, *state.remarks]
    settings = state.config.optimizer
    if (parts := settings.micro_batches) > 1:
        remarks.append(
            f"accumulate={parts}: batch norm sees {settings.batch // parts} pictures at a time, "
            f"not the {settings.batch} of a step"
        )
    for remark in remarks:
        state.log(Notice(remark))


def _loop(state: TrainingState) -> bool:
    config = state.config
    settings = config.optimizer
    crops = Crops(state.data, config.augmentation, config.run.seed, fill=state.preprocessing.fill)
    stream = _stream(state, crops)
    meter = Meter(
        settings,
        lambda step: crops.names(range(step * settings.batch, (step + 1) * settings.batch)),
        state.ranks.sum_rows,
        [term.name for term in state.criterion.terms],
    )
    training_mode(state.network, config.start)
    for step in range(state.start, settings.steps + 1):
        done = step == settings.steps
        if step > state.best["validated"] and (done or step % config.eval_interval == 0):
            _check_finite(state, meter, step)
            with meter.paused():
                validate(state, step)
        stopped = state.ranks.stopped(state.stop())
        if done or stopped or (step > state.start and step % config.save_interval == 0):
            _check_finite(state, meter, step)
            if state.ranks.first:
                save_checkpoint(state.run.checkpoints, step, state.to_checkpoint())
        if done or stopped:
            return done and state.best["validated"] == settings.steps
        lr = settings.lr * poly(step, settings.steps, settings.power)
        losses = _try_step(state, _next_parts(state, stream, step), step, lr)
        if losses is None:
            raise out_of_memory(state)
        meter.add(losses)
        state.log(Progress(step + 1, settings.steps, STEPS))
        if (step + 1) % config.log_interval == 0 or step + 1 == settings.steps:
            state.log(meter.report(step + 1, lr))
    raise AssertionError("the last step returns")


def _next_parts(
    state: TrainingState, stream: Iterator[tuple[Tensor, Tensor]], step: int
) -> list[tuple[Tensor, Tensor]]:
    """Return a step's micro-batches. If the loading processes die, write a checkpoint before."""
    try:
        return [next(stream) for _ in range(state.config.optimizer.micro_batches)]
    except LoadingError as error:
        fewer = "Try fewer --workers (0: none), or a smaller crop or batch"
        if state.ranks.alone and step > state.start:
            save_checkpoint(state.run.checkpoints, step, state.to_checkpoint())
            fewer = f"The checkpoint of step {step} is written: continue with --resume and fewer"
            fewer += " --workers (0: none)"
        raise LoadingError(f"{error}. {fewer}") from None


def _try_step(
    state: TrainingState, micro_batches: list[tuple[Tensor, Tensor]], step: int, lr: float
) -> Tensor | None:
    """Do `_step`; return None when it does not fit the memory, with its tensors released."""
    try:
        if step == state.start and not state.ranks.alone:
            _order_buckets(state, micro_batches[0])
        return _step(state, micro_batches, step, lr)
    except (RuntimeError, MemoryError) as error:
        if memory_ran_out(error):
            return None
        raise


def _step(
    state: TrainingState, micro_batches: list[tuple[Tensor, Tensor]], step: int, lr: float
) -> Tensor:
    """Do one optimizer step; return the losses on the device, (1 + terms,): the total first."""
    # What is random in a step (dropout) is a function of the seed, the step and the rank alone.
    torch.manual_seed(step_seed(state.config.run.seed, step, state.ranks.rank))
    for group in state.optimizer.param_groups:
        group["lr"] = lr * group["factor"]
    state.optimizer.zero_grad(set_to_none=True)
    here = [
        tuple(tensor.to(state.device, non_blocking=True) for tensor in part)
        for part in micro_batches
    ]
    weights = torch.stack([state.criterion.total_weights(labels) for _, labels in here], 1).sum(1)
    weights = state.ranks.sum_weights(weights, state.stop)
    losses = torch.zeros(1 + len(weights), device=state.device)
    for number, (images, labels) in enumerate(here, start=1):
        # Gradients travel once a step, while the last part's are computed.
        with nullcontext() if number == len(here) else state.ranks.no_sync():
            with autocast(state.device, state.precision):
                logits = state.parallel(state.preprocessing(images))  # (B, classes, crop/8, crop/8)
            loss = state.criterion(logits, labels, weights)
            # The mean over the ranks that comes out is then the sum over all pictures.
            (loss.total * state.ranks.total).backward()  # type: ignore[no-untyped-call]
        losses += torch.stack([loss.total.detach(), *loss.terms.values()])
    state.optimizer.step()
    if state.ema is not None:
        state.ema.update(state.network, step + 1)
    return losses


def _order_buckets(state: TrainingState, micro_batch: tuple[Tensor, Tensor]) -> None:
    """Do a forward and a backward pass that leaves no trace but in DDP.

    DDP groups gradients in the order of the first backward pass, and the groups decide in which
    order the ranks' gradients are added. With that settled from the beginning, a resumed run rounds
    as an undisturbed one does.
    """
    kept = {name: buffer.clone() for name, buffer in state.network.named_buffers()}
    images, labels = (tensor.to(state.device, non_blocking=True) for tensor in micro_batch)
    with autocast(state.device, state.precision):
        logits = state.parallel(state.preprocessing(images))
    state.criterion(logits, labels).total.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for name, buffer in state.network.named_buffers():
            buffer.copy_(kept[name])
    state.optimizer.zero_grad(set_to_none=True)


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of what is random in a step. The first rank's is that of one process."""
    entropy = [seed, step, rank] if rank else [seed, step]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def _stream(state: TrainingState, crops: Crops) -> Iterator[tuple[Tensor, Tensor]]:
    """Return the micro-batches of all steps still to do."""
    settings = state.config.optimizer
    parts = settings.micro_batches
    wanted = _workers(state.config, state.device)
    pixels = settings.batch // (parts * state.ranks.total) * state.config.augmentation.crop**2
    workers = workers_that_fit(wanted, 4 * pixels)  # three colors and a label
    if workers < wanted:
        state.log(
            Notice(
                f"/dev/shm has room for the batches of {workers} of {wanted} loading processes, so "
                f"{workers} are used. A container gets more with --shm-size"
            )
        )
    return batches(
        crops,
        settings.batch // parts,
        range(state.start * parts, settings.steps * parts),
        workers,
        pin=state.device.type == "cuda",
        share=state.ranks.share,
    )


def _check_finite(state: TrainingState, meter: Meter, step: int) -> None:
    """Raise PspError rather than keep weights that have diverged in the `step` steps done."""
    meter.check(step)
    finite = [weight.isfinite().all() for weight in state.network.state_dict().values()]
    if step > 0 and not bool(torch.stack(finite).all()):
        names = meter.names(step - 1)
        raise not_finite("a weight is not finite", step - 1, names, state.config.optimizer.lr)


def _workers(config: TrainConfig, device: torch.device) -> int:
    """A CPU that trains needs its cores; beside GPUs they are free to load, shared by the ranks."""
    if config.run.workers is not None:
        return config.run.workers
    return 1 if device.type == "cpu" else min(max(1, cores() // ranks_here()), 16)

"""psp train: the loop."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch
from torch import Tensor

from psp.data.loader import Crops, LoadingError
from psp.device import kernels
from psp.errors import PspError
from psp.events import Notice, Progress
from psp.files import make_folder, write_json
from psp.locks import file_lock
from psp.runs import Run
from psp.settings.config import TrainConfig
from psp.settings.section import show
from psp.train.advice import advice, repeat_command
from psp.train.checkpoint import save_checkpoint
from psp.train.checks import (
    check_batch,
    check_compile,
    check_deterministic,
    check_freezing,
    check_resume,
    check_test,
    has_begun,
    open_splits,
    refuse_existing,
)
from psp.train.distributed import Ranks
from psp.train.freeze import training_mode
from psp.train.memory import fit_batch, out_of_memory
from psp.train.optim import learning_rate
from psp.train.pace import set_pace, validation_steps
from psp.train.pictures import RunPictures
from psp.train.run_log import STEPS, Event, Meter, RunLog, not_finite
from psp.train.start import begin
from psp.train.state import TrainingState
from psp.train.step import stream, try_step
from psp.train.tensorboard import TensorBoardLog
from psp.train.validate import validate


def train(
    shards: Path,
    run: Run,
    config: TrainConfig,
    *,
    device: torch.device,
    command: str = "",
    sources: Mapping[str, str] | None = None,
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
    others ReportedError. `sources` says of settings that nobody gave where they come from.
    """
    ranks, began = ranks or Ranks(), time.perf_counter()
    if resume and None in (config.optimizer.accumulate, config.run.eval_every):
        config = ranks.broadcast(lambda: _as_found(config, run.training_config()))
    with ExitStack() as around:
        with ranks.all_or_raise():
            data, val_data = open_splits(shards, config)
            check_batch(config, ranks.total)
            check_compile(config, ranks.total)
            check_freezing(config)
            check_test(config)
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
        begun_as = run.read_config().get("sources") if resume and ranks.first else sources
        state.sources.update(begun_as or {})
        if not resume:
            fit_batch(state)
            if config.run.hours is not None and ranks.first:  # on a slow machine it takes minutes
                report(
                    Notice(f"timing some steps, to see how many fit into {config.run.hours:g} h")
                )
            set_pace(state, began)
        with ranks.all_or_raise():
            _begin_log(state, command, continues, listeners)
        try:
            return _loop(state)
        except PspError as error:
            raise ranks.flags.report_failure(error) from error.__cause__
        except RuntimeError as error:
            if (failure := ranks.flags.connection_error(error)) is not None:
                raise failure from None
            raise


def _as_found(config: TrainConfig, stored: TrainConfig) -> TrainConfig:
    """Return the settings with what was found at the run's beginning in place of `auto`."""
    return config.changed(
        accumulate=config.optimizer.accumulate or stored.optimizer.accumulate,
        eval_every=config.run.eval_every or stored.run.eval_every,
    )


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
    if state.config.run.pictures:
        steps = state.config.optimizer.steps
        state.pictures = RunPictures(state.run, state.val_data, steps, state.log)
    repeat = repeat_command(state.data, state.config, state.device.type)
    if not resume:
        write_json(state.run.config, state.to_config(command) | {"repeat": repeat})
    remarks = [f"run folder: {state.run.folder}", state.description, *state.remarks]
    settings = state.config.optimizer
    if (parts := settings.micro_batches) > 1:
        remarks.append(
            f"accumulate={parts}: batch norm sees {settings.batch // parts} pictures at a time, "
            f"not the {settings.batch} of a step"
        )
    if not resume:
        remarks += advice(state.data, state.config)
        values = state.config.flat()
        remarks += [f"{key}={show(values[key])}: {text}" for key, text in state.sources.items()]
        remarks += [f"to repeat it exactly: {repeat}"] if state.sources else []
    for remark in remarks:
        state.log(Notice(remark))


def _loop(state: TrainingState) -> bool:
    config = state.config
    settings = config.optimizer
    crops = Crops(state.data, config.augmentation, config.run.seed, fill=state.preprocessing.fill)
    if state.pictures and state.start == 0:
        state.pictures.draw_crops(crops)
    batches = stream(state, crops, range(state.start, settings.steps))
    meter = Meter(
        settings,
        lambda step: crops.names(range(step * settings.batch, (step + 1) * settings.batch)),
        state.ranks.sum_rows,
        [term.name for term in state.criterion.terms],
        config.eval_interval,
        validation_steps(state.val_data, config),
    )
    training_mode(state.network, config.start)
    for step in range(state.start, settings.steps + 1):
        done = step == settings.steps
        if step > state.best["validated"] and (done or step % config.eval_interval == 0):
            _check_finite(state, meter, step)
            with meter.validating():
                validate(state, step)
            if state.ended and not done:
                state.log(Notice(_why_ended(state, step)))
        done = done or state.ended
        stopped = state.ranks.stopped(state.stop())
        if done or stopped or (step > state.start and step % config.save_interval == 0):
            _check_finite(state, meter, step)
            if state.ranks.first:
                save_checkpoint(state.run.checkpoints, step, state.to_checkpoint())
        if done or stopped:
            return done and state.best["validated"] == step
        lr = learning_rate(step, settings)
        losses = try_step(state, _next_parts(state, batches, step), step, lr)
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


def _why_ended(state: TrainingState, step: int) -> str:
    best = state.best
    return (
        f"ended at step {step} of {state.config.optimizer.steps}: {best['since']} validations "
        f"without a better mIoU than {100 * best['miou']:.2f}, of step {best['step']}"
    )


def _check_finite(state: TrainingState, meter: Meter, step: int) -> None:
    """Raise PspError rather than keep weights that have diverged in the `step` steps done."""
    meter.check(step)
    finite = [weight.isfinite().all() for weight in state.network.state_dict().values()]
    if step > 0 and not bool(torch.stack(finite).all()):
        names = meter.names(step - 1)
        raise not_finite("a weight is not finite", step - 1, names, state.config.optimizer.lr)

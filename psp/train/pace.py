"""How many steps a training has, and how often it validates, where the settings leave that open.

Both are found once, before the first step, and stored with the settings: a resumed run and the
command that repeats a run use the numbers.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from psp.data.loader import Crops
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.evaluate.count import score_split
from psp.model.windows import starts
from psp.settings.config import TrainConfig
from psp.train.freeze import training_mode
from psp.train.memory import out_of_memory
from psp.train.run_log import duration
from psp.train.state import TrainingState
from psp.train.step import stream, try_step
from psp.train.tested import validation
from psp.train.validate import current_model

MOST = 10  # validations of a run
SHARE = 0.2  # of a run's time that validations may take, where there is more than one
WINDOW = 0.5  # time of a window in a validation, to that of a training crop
WARM_UP, TIMED = 3, 10  # steps
TIMED_PICTURES = 8  # of the validation split, evenly from all of it


def validation_steps(val_data: ShardSplit, config: TrainConfig) -> float:
    """Return in the time of how many steps a validation is done, estimated from its windows.

    It depends on the data and the settings alone, so a run validates at the same steps anywhere.
    """
    procedure, crop = validation(config), config.augmentation.size
    across, down = procedure.window or (None, None)
    windows = 0.0
    for height, width in val_data.sizes.tolist():
        target = procedure.target(max(height, width))
        sides = procedure.rules.size((height, width), 1.0, target)
        if across is None or down is None:  # whole: one window, whose time is as its area
            windows += math.prod(sides) / math.prod(crop)
        else:
            pairs = zip(sides, (down, across), strict=True)
            windows += math.prod(sum(1 for _ in starts(max(s, w), w)) for s, w in pairs)
    return WINDOW * windows / config.optimizer.batch


def worth(steps: int, cost: float) -> int:
    """Return how often to validate in a run of so many steps; a validation costs `cost` steps.

    Ten times, or as often as takes a fifth of the run's time at most, or once.
    """
    return max(1, min(MOST, int(SHARE / (1 - SHARE) * steps / cost)))


def interval(steps: int, validations: int) -> int:
    """Return the steps between so many validations, of which the last is at the end."""
    return max(1, steps // MOST if validations == MOST else -(-steps // validations))


def set_pace(state: TrainingState, began: float) -> None:
    """Resolve eval_every=auto, and steps where the settings have `hours`.

    `began` is when the run began, by time.perf_counter(). Raises PspError for too few hours.
    """
    config = state.config
    if config.run.hours is not None:
        _fit_hours(state, config.run.hours, began)
    elif config.run.eval_every is None:
        steps = config.optimizer.steps
        times = worth(steps, validation_steps(state.val_data, config))
        state.config = config.changed(eval_every=interval(steps, times))
        if times < MOST:
            state.sources["eval_every"] = (
                f"validates {'once' if times == 1 else f'{times} times'}: more often would take "
                "over a fifth of the time"
            )


def _fit_hours(state: TrainingState, hours: float, began: float) -> None:
    config = state.config
    step, validation = seconds_a_step(state), seconds_a_validation(state)
    step, validation = (state.ranks.maximum(int(1e6 * t)) / 1e6 for t in (step, validation))
    left = state.ranks.broadcast(lambda: 3600 * hours - (time.perf_counter() - began))
    times = max(1, min(MOST, int(SHARE * left / validation)))
    every = config.run.eval_every
    if every is None:
        steps = int((left - times * validation) / step)
    else:
        steps = int((left - validation) / (step + validation / every))
    speed = f"a step takes {step:.2f} s, a validation {duration(validation)}"
    if steps < 1:
        least = (3600 * hours - left + step + validation) / 3600
        raise PspError(f"--hours {hours:g}: too short: {speed}. Give at least {least:.2g} hours")
    state.config = config.changed(steps=steps, eval_every=every or interval(steps, times))
    source = f"--hours {hours:g}: {speed}"
    state.sources["steps"] = source
    if every is None:
        state.sources["eval_every"] = source


def seconds_a_step(state: TrainingState) -> float:
    """Return how long a step takes, loading included: the mean of ten after three to warm up.

    The steps are those of the training, on all ranks together. They leave neither weights nor
    random numbers changed.
    """
    crops = Crops(
        state.data, state.config.augmentation, state.config.run.seed, fill=state.preprocessing.fill
    )
    parts = state.config.optimizer.micro_batches
    batches = stream(state, crops, range(WARM_UP + TIMED))
    begin = 0.0
    with _untouched(state):
        for number in range(WARM_UP + TIMED):
            if number == WARM_UP:
                _wait(state.device)
                begin = time.perf_counter()
            micro_batches = [next(batches) for _ in range(parts)]
            if try_step(state, micro_batches, number, 0.0) is None:
                raise out_of_memory(state)
        _wait(state.device)
        seconds = time.perf_counter() - begin
    return seconds / TIMED


def seconds_a_validation(state: TrainingState) -> float:
    """Return about how long a validation takes on this rank, from a few of its pictures."""
    total = len(state.val_data)
    spread = {number * total // TIMED_PICTURES for number in range(TIMED_PICTURES)}
    chosen = sorted(spread)
    model = current_model(state)
    procedure = validation(state.config)
    score_split(model, state.val_data, procedure, indices=chosen[:1])  # to warm up
    begin = time.perf_counter()
    score_split(model, state.val_data, procedure, indices=chosen)
    seconds = time.perf_counter() - begin
    return seconds * total / len(chosen) / state.ranks.total


@contextmanager
def _untouched(state: TrainingState) -> Iterator[None]:
    """Train in the block; after it, weights, averages, optimizer and generators are as before."""
    networks = [state.network] if state.ema is None else [state.network, state.ema.network]
    kept = [
        (tensor, tensor.clone()) for network in networks for tensor in network.state_dict().values()
    ]
    devices = [state.device] if state.device.type == "cuda" else []
    training_mode(state.network, state.config.start)
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, before in kept:
                    tensor.copy_(before)
            state.optimizer.state.clear()
            state.optimizer.zero_grad(set_to_none=True)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""How many pictures at a time fit a device's memory: found by trying, not by a formula."""

import gc
import re
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from psp.device import autocast, memory_ran_out
from psp.errors import PspError
from psp.train.checks import needs_two
from psp.train.distributed import plain_copy
from psp.train.freeze import freeze, training_mode
from psp.train.state import TrainingState

MEMINFO, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")  # where Linux says what is used


def fit_batch(state: TrainingState) -> None:
    """Resolve accumulate=auto: as few micro-batches as fit the memory.

    Of several ranks, the one with the least memory decides for all. Raises PspError when not even
    the smallest micro-batch fits.
    """
    config, ranks = state.config, state.ranks.total
    if config.optimizer.accumulate is not None:
        return
    sizes = _micro_batch_sizes(state)
    trial = _trial(state)
    misses = state.ranks.maximum(largest_that_fits(sizes, lambda size: _fits(trial, size)))
    pictures = sizes[min(misses, len(sizes) - 1)]
    state.config = config.changed(accumulate=config.optimizer.batch // (pictures * ranks))
    with state.ranks.all_or_raise():
        if misses == len(sizes):
            raise out_of_memory(state)
    crop = config.augmentation.crop
    state.remarks.append(f"batch=auto: {pictures} pictures of {crop} fit {state.device} at once")


def out_of_memory(state: TrainingState) -> PspError:
    """Return the error for a step that did not fit, with the ways to need less."""
    settings, ranks = state.config.optimizer, state.ranks.total
    pictures = settings.batch // (settings.micro_batches * ranks)
    used = ""
    if state.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(state.device)
        total = torch.cuda.mem_get_info(state.device)[1]
        used = f" ({peak / 1e9:.1f} of {total / 1e9:.1f} GB were in use)"
    ways = []
    if pictures > _least(state):
        ways = [
            "--batch auto (accumulate: the same batch, computed in parts that fit)",
            f"--batch {max(_least(state), pictures // 2) * ranks}",
        ]
    ways.append(f"a --crop below {state.config.augmentation.crop}")
    ways.append("a smaller --backbone")
    return PspError(
        f"out of memory on {state.device} with {pictures} pictures of "
        f"{state.config.augmentation.crop}{used}. Use {'; or '.join(ways)}"
    )


def _micro_batch_sizes(state: TrainingState) -> list[int]:
    """Return into how many pictures a rank the batch can be cut, falling."""
    batch, ranks = state.config.optimizer.batch, state.ranks.total
    sizes = range(batch // ranks, _least(state) - 1, -1)
    return [size for size in sizes if batch % (size * ranks) == 0]


def _least(state: TrainingState) -> int:
    """Return how many pictures a rank needs at a time."""
    return 2 if state.ranks.alone and needs_two(state.config) else 1


def _trial(state: TrainingState) -> TrainingState:
    """Return the state with a copy of the network, which waits for no other rank.

    Where there are others, its batch norms keep their statistics, which takes the same memory: one
    picture a rank is enough for a batch norm over all ranks, but not for one by itself.
    """
    start = state.config.start
    network = plain_copy(state.network)
    freeze(network, start.freeze)
    norms = start.freeze_norm if state.ranks.alone else "all"
    training_mode(network, replace(start, freeze_norm=norms))
    return replace(state, network=network, optimizer=torch.optim.SGD(network.parameters()))


def largest_that_fits(sizes: Sequence[int], fits: Callable[[int], bool]) -> int:
    """Return the index of the first of falling `sizes` that fits; len(sizes) if none does.

    All below one that fits are taken to fit too.
    """
    low, high = 0, len(sizes)  # the answer is in low..high
    while low < high:
        middle = (low + high) // 2
        if fits(sizes[middle]):
            high = middle
        else:
            low = middle + 1
    return low


def _fits(state: TrainingState, pictures: int) -> bool:
    """Whether forward and backward of so many pictures work, beside the optimizer's memory."""
    try:
        with memory_limit(state.device):
            _try(state, pictures)
        return True
    except (RuntimeError, MemoryError) as error:
        if not memory_ran_out(error):
            raise
        return False
    finally:
        state.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if state.device.type == "cuda":
            torch.cuda.empty_cache()


def _try(state: TrainingState, pictures: int) -> None:
    crop = state.config.augmentation.size.shape
    spare = torch.empty(_spare(state.device), dtype=torch.uint8, device=state.device)
    momentum = [torch.empty_like(weight) for weight in state.network.parameters()]
    images = torch.zeros((pictures, *crop, 3), dtype=torch.uint8, device=state.device)
    labels = torch.zeros((pictures, *crop), dtype=torch.uint8, device=state.device)
    with autocast(state.device, state.precision):
        logits = state.network(state.preprocessing(images))
    state.criterion(logits, labels).total.backward()  # type: ignore[no-untyped-call]
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)
    del momentum, spare


def _spare(device: torch.device) -> int:
    """Return the bytes to leave free: a twentieth, as a long run fragments its memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] // 20
    return _bytes(MEMINFO, "MemTotal") // 20 if MEMINFO.exists() else 0


@contextmanager
def memory_limit(device: torch.device) -> Iterator[None]:
    """Limit a CPU's memory to what is free now: Linux would not refuse more, but kill."""
    if device.type != "cpu" or not MEMINFO.exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _bytes(STATUS, "VmData") + _bytes(MEMINFO, "MemAvailable")
    given = [bound for bound in before if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([limit, *given]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _bytes(path: Path, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024

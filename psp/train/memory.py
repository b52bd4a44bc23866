"""Which batch and which crop fit a device's memory: found by trying, not by a formula."""

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
from psp.settings.config import nearest_crops
from psp.train.checks import needs_two
from psp.train.distributed import twin
from psp.train.freeze import freeze, training_mode
from psp.train.state import Job

MEMINFO, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")  # where Linux says what is used


def fit_batch(job: Job) -> None:
    """Resolve accumulate=auto of a job: as few parts of the batch as fit the memory.

    Of several ranks, the one with the least memory decides for all. Raises PspError when not even
    the smallest part fits.
    """
    config, ranks = job.config, job.ranks.total
    if config.accumulate is not None:
        return
    sizes = _shares(job, config.batch // ranks)
    misses = job.ranks.most(_misses(_apart(job), sizes))
    part = sizes[min(misses, len(sizes) - 1)]
    job.config = replace(config, accumulate=config.batch // (part * ranks))
    with job.ranks.all_or_raise():
        if misses == len(sizes):
            raise PspError(advice(job))
    job.remarks.append(f"batch=auto: {part} pictures of {config.crop} fit {job.device} at once")


def _misses(trial: Job, sizes: Sequence[int]) -> int:
    """Return how many of falling sizes do not fit."""
    found = largest(sizes, lambda size: _fits(trial, size, trial.config.crop))
    return len(sizes) if found is None else sizes.index(found)


def advice(job: Job) -> str:
    """Return the line for a step that did not fit: what does. Steps are tried on the device.

    The job cannot go on afterwards: its optimizer's state and gradients are given up. Of several
    ranks, each can ask by itself: the trials are of this one alone.
    """
    config = job.config
    job.optimizer.state.clear()
    job.optimizer.zero_grad(set_to_none=True)
    job = job if job.ranks.alone else _apart(job)
    ranks = job.ranks.total
    part = config.batch // (config.parts * ranks)
    peak = ""
    if job.device.type == "cuda":
        used = torch.cuda.max_memory_allocated(job.device)
        total = torch.cuda.mem_get_info(job.device)[1]
        peak = f" ({used / 1e9:.1f} of {total / 1e9:.1f} GB were in use)"
    what = f"out of memory on {job.device} with {part} pictures of {config.crop}{peak}."
    least = _least(job)
    crops = []
    crop = nearest_crops(config.crop - 48)[0]
    while crop >= 89:
        crops.append(crop)
        crop -= 48
    smaller = largest(_shares(job, part - 1), lambda size: _fits(job, size, config.crop))
    ways = []
    if smaller is not None:
        ways += [
            f"--batch {smaller * ranks}",
            "the same batch in parts: --set "
            f"accumulate={config.batch // (smaller * ranks)} (batch norm then "
            f"sees {smaller * ranks} pictures)",
        ]
    lower = largest(crops, lambda size: _fits(job, part, size))
    if lower is not None:
        ways.append(f"--crop {lower}")
    if not ways:
        lower = largest(crops, lambda size: _fits(job, least, size))
        if lower is None:
            return f"{what} Not even {least} pictures of 89 fit: choose a smaller --backbone"
        ways.append(f"--batch {least * ranks} --crop {lower}")
    return f"{what} What fits: {'; or '.join(ways)}"


def _shares(job: Job, most: int) -> list[int]:
    """Return into how many pictures a rank its batch can be cut, `most` at most, falling."""
    sizes = range(most, _least(job) - 1, -1)
    return [size for size in sizes if job.config.batch % (size * job.ranks.total) == 0]


def _least(job: Job) -> int:
    """Return how many pictures a rank needs at a time."""
    return 2 if job.ranks.alone and needs_two(job.config) else 1


def _apart(job: Job) -> Job:
    """Return the job with a copy of the network, which waits for no other rank.

    Where there are others, its batch norms keep their statistics, which takes the same memory: one
    picture a rank is enough for a batch norm over all ranks, but not for one by itself.
    """
    config = job.config
    network = twin(job.network)
    freeze(network, config.freeze)
    training_mode(network, config.freeze, config.freeze_norm if job.ranks.alone else "all")
    return replace(job, network=network, optimizer=torch.optim.SGD(network.parameters()))


def largest(sizes: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """Return the first of falling `sizes` that fits, or None; what fits stays so below it."""
    low, high = 0, len(sizes)  # the answer's index is in low..high
    while low < high:
        middle = (low + high) // 2
        if fits(sizes[middle]):
            high = middle
        else:
            low = middle + 1
    return sizes[low] if low < len(sizes) else None


def _fits(job: Job, pictures: int, crop: int) -> bool:
    """Whether forward and backward of such a part go through, beside the optimizer's memory."""
    try:
        with _end_of_memory(job.device):
            _try(job, pictures, crop)
        return True
    except (RuntimeError, MemoryError) as error:
        if not memory_ran_out(error):
            raise
        return False
    finally:
        job.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if job.device.type == "cuda":
            torch.cuda.empty_cache()


def _try(job: Job, pictures: int, crop: int) -> None:
    spare = torch.empty(_spare(job.device), dtype=torch.uint8, device=job.device)
    momentum = [torch.empty_like(weight) for weight in job.network.parameters()]
    images = torch.zeros((pictures, crop, crop, 3), dtype=torch.uint8, device=job.device)
    labels = torch.zeros((pictures, crop, crop), dtype=torch.uint8, device=job.device)
    with autocast(job.device, job.precision):
        logits = job.network(job.preprocessing(images))
    job.criterion(logits, labels).total.backward()  # type: ignore[no-untyped-call]
    if job.device.type == "cuda":
        torch.cuda.synchronize(job.device)
    del momentum, spare


def _spare(device: torch.device) -> int:
    """Return the bytes to leave free: a twentieth, for what a long run scatters."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] // 20
    return _bytes(MEMINFO, "MemTotal") // 20 if MEMINFO.exists() else 0


@contextmanager
def _end_of_memory(device: torch.device) -> Iterator[None]:
    """Give a CPU's memory an end: all that is free now. Linux would not refuse more, but kill."""
    if device.type != "cpu" or not MEMINFO.exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    end = _bytes(STATUS, "VmData") + _bytes(MEMINFO, "MemAvailable")
    given = [limit for limit in before if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([end, *given]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _bytes(path: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024

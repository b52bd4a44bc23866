"""Which batch and which crop fit a device's memory: found by trying, not by a formula."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from psp.config import nearest_crops
from psp.device import autocast, memory_ran_out
from psp.freezing import freeze, training_mode
from psp.job import Job
from psp.team import twin


def advice(job: Job) -> str:
    """Return the line for a step that did not fit: what does. Steps are tried on the device.

    The job cannot go on afterwards: its optimizer's state and gradients are given up. Of several
    ranks, each can ask by itself: the trials are of this one alone.
    """
    config = job.config
    job.optimizer.state.clear()
    job.optimizer.zero_grad(set_to_none=True)
    job = _apart(job)
    ranks = job.team.total
    part = config.batch // (config.accumulate * ranks)
    peak = ""
    if job.device.type == "cuda":
        used, total = torch.cuda.max_memory_allocated(job.device), torch.cuda.mem_get_info()[1]
        peak = f" ({used / 1e9:.1f} of {total / 1e9:.1f} GB were in use)"
    what = f"out of memory on {job.device} with {part} pictures of {config.crop}{peak}."
    least = 1 if config.freeze_norm == "all" or ranks > 1 else 2
    parts = [k for k in range(part - 1, least - 1, -1) if config.batch % (k * ranks) == 0]
    crops = []
    crop = nearest_crops(config.crop - 48)[0]
    while crop >= 89:
        crops.append(crop)
        crop -= 48
    smaller = largest(parts, lambda size: _fits(job, size, config.crop))
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
        return f"{what} Not even {least} pictures of 89 fit: choose a smaller --backbone"
    return f"{what} What fits: {'; or '.join(ways)}"


def _apart(job: Job) -> Job:
    """Return the job with a network that waits for no other rank.

    Its batch norms keep their statistics, which takes the same memory: one picture a rank is
    enough for a batch norm over all ranks, but not for one by itself.
    """
    if job.team.alone:
        return job
    network = twin(job.network)
    freeze(network, job.config.freeze)
    training_mode(network, job.config.freeze, "all")
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
    momentum = [torch.empty_like(weight) for weight in job.network.parameters()]
    images = torch.zeros((pictures, crop, crop, 3), dtype=torch.uint8, device=job.device)
    labels = torch.zeros((pictures, crop, crop), dtype=torch.uint8, device=job.device)
    with autocast(job.device, job.precision):
        logits = job.network(job.preprocessing(images))
    job.criterion(logits, labels).total.backward()  # type: ignore[no-untyped-call]
    if job.device.type == "cuda":
        torch.cuda.synchronize(job.device)
    del momentum

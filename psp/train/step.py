"""A training step, and the stream of batches that steps consume."""

from collections.abc import Iterator
from contextlib import nullcontext
from math import prod

import numpy as np
import torch
from torch import Tensor

from psp.data.loader import Crops, batches, workers_that_fit
from psp.device import autocast, memory_ran_out
from psp.events import Notice
from psp.ranks import ranks_here
from psp.settings.config import TrainConfig
from psp.train.state import TrainingState
from psp.workers import cores


def try_step(
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
                logits = state.parallel(state.preprocessing(images))  # (B, classes, h/8, w/8)
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


def stream(state: TrainingState, crops: Crops, steps: range) -> Iterator[tuple[Tensor, Tensor]]:
    """Return the micro-batches of some steps, this rank's share of each."""
    settings = state.config.optimizer
    parts = settings.micro_batches
    wanted = _workers(state.config, state.device)
    pixels = settings.batch // (parts * state.ranks.total) * prod(state.config.augmentation.size)
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
        range(steps.start * parts, steps.stop * parts),
        workers,
        pin=state.device.type == "cuda",
        share=state.ranks.share,
    )


def _workers(config: TrainConfig, device: torch.device) -> int:
    """A CPU that trains needs its cores; beside GPUs they are free to load, shared by the ranks."""
    if config.run.workers is not None:
        return config.run.workers
    return 1 if device.type == "cpu" else min(max(1, cores() // ranks_here()), 16)

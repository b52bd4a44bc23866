"""The processes that train one network together, on torch's own engine.

torchrun starts them, on one machine or on many, and says to each in the environment who it is.
Every one computes a share of each step's pictures. They communicate in three ways:

- the training's own collectives (sums of gradients, losses, batch statistics): NCCL between GPUs,
  gloo between CPUs, with the timeout HANG.
- objects, errors and validation's counts: gloo, with a long timeout, as a share of a validation may
  take longer on one rank than on another.
- flags that nobody waits for (stop, failed, reported): see psp.train.flags.
"""

import inspect
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from threading import Event, Thread
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.nn.parallel import DistributedDataParallel

from psp.errors import PspError, ReportedError
from psp.model.pspnet import PSPNet, build
from psp.ranks import Share, connect, open_store
from psp.train.flags import Flags
from psp.train.heartbeat import end_after_failure
from psp.train.syncbn import synchronize

Value = TypeVar("Value")

HANG = timedelta(minutes=10)  # a step, with the first one's search for kernels

# Whether each forward pass copies the first rank's buffers to the others, in new torch and in old.
_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel).parameters
)


class Ranks:
    """This process among the ranks that train together. `Ranks()` is one that trains alone."""

    def __init__(self, share: Share | None = None, store: Store | None = None) -> None:
        self.share = share or Share()
        self.flags = Flags(self.share, store)
        self.rank, self.total, self.first = (
            self.share.number - 1,
            self.share.total,
            self.share.first,
        )
        self._group: distributed.ProcessGroup | None = None
        self._wrapped: DistributedDataParallel | None = None
        self._flag: Tensor | None = None  # on the host: how many ranks want to stop
        self._flag_ready: torch.cuda.Event | None = None
        self._stopped = False

    @property
    def alone(self) -> bool:
        """Whether there is no other rank."""
        return self.total == 1

    def open(self, device: torch.device) -> None:
        """Begin the training's collectives. Raises PspError for a device that has none."""
        if self.alone:
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        elif device.type != "cpu":
            raise PspError(f"several ranks train on CUDA or on CPUs, not on {device.type}.")
        backend = "nccl" if device.type == "cuda" else "gloo"
        group = distributed.new_group(backend=backend, timeout=HANG)
        assert isinstance(group, distributed.ProcessGroup)  # as it is on every member
        self._group = group

    # What one rank knows

    @contextmanager
    def all_or_raise(self) -> Iterator[None]:
        """If any rank fails in the block, raise on every rank; all leave the block together.

        The lowest rank that failed raises its own error, the others ReportedError.
        """
        if self.alone:
            yield
            return
        error: PspError | OSError | None = None
        try:
            yield
        except (PspError, OSError) as raised:
            error = raised
        texts: list[str | None] = [None] * self.total
        distributed.all_gather_object(texts, None if error is None else str(error))
        failed = [rank for rank, text in enumerate(texts) if text is not None]
        if not failed:
            return
        if error is not None and failed[0] == self.rank:
            raise error
        raise ReportedError(str(texts[failed[0]]))

    def broadcast(self, make: Callable[[], Value]) -> Value:
        """Return what `make` returns on the first rank. Its PspError is raised on all."""
        if self.alone:
            return make()
        box: list[Value | None] = [None]
        with self.all_or_raise():
            if self.first:
                box = [make()]
        distributed.broadcast_object_list(box)
        value: Value = box[0]  # type: ignore[assignment]  # the first rank has filled it
        return value

    def maximum(self, number: int) -> int:
        """Return the largest of all ranks' numbers."""
        if self.alone:
            return number
        numbers = [number] * self.total
        distributed.all_gather_object(numbers, number)
        return max(numbers)

    def check_same(self, value: object, what: str) -> None:
        """Raise PspError where `value` differs from the first rank's."""
        if self.alone:
            return
        box = [value]
        distributed.broadcast_object_list(box)
        with self.all_or_raise():
            if pickle.dumps(box[0]) != pickle.dumps(value):
                raise PspError(
                    f"rank {self.rank} has another {what} ({value}) than rank 0 ({box[0]}): all "
                    "machines must see the same files, for example on a shared file system"
                )

    def broadcast_weights(self, network: nn.Module) -> None:
        """Give all ranks the weights of the first one, in place."""
        if not self.alone:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, 0, group=self._group)

    # A step

    def wrap(self, network: PSPNet, device: torch.device) -> nn.Module:
        """Return what a step calls instead of `network`, whose batch norms are changed in place.

        Gradients are then means over the ranks.
        """
        if self.alone:
            return network
        assert self._group is not None
        synchronize(network, self._group, device)
        self._wrapped = DistributedDataParallel(
            network,
            device_ids=[device] if device.type == "cuda" else None,
            process_group=self._group,
            gradient_as_bucket_view=True,
            # The running statistics are the same on all as they are.
            **{_BUFFERS: False},  # type: ignore[arg-type]
        )
        return self._wrapped

    def no_sync(self) -> AbstractContextManager[None]:
        """Return the context of a backward pass that is not the last one of its step."""
        return nullcontext() if self._wrapped is None else self._wrapped.no_sync()

    def sum_weights(self, weights: Tensor, stop: Callable[[], bool]) -> Tensor:
        """Return a vector (n,), summed over all ranks.

        `stop` travels with it: whether this rank was asked to stop, which `stopped` then tells all.
        """
        if self.alone:
            return weights
        both = torch.cat([weights.double(), weights.new_full((1,), stop(), dtype=torch.float64)])
        distributed.all_reduce(both, group=self._group)
        if both.is_cuda:
            # Read a step later, when it has long arrived: nobody waits for the device.
            self._flag = torch.empty(1, dtype=torch.float64, pin_memory=True)
            self._flag.copy_(both[-1:], non_blocking=True)
            self._flag_ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._flag_ready.record()
        else:
            self._flag = both[-1:]
        return both[:-1].to(weights)

    def stopped(self, stop: bool) -> bool:
        """Return whether all stop here; `stop` is whether this rank was asked to.

        Ranks agree on the same step: they stop after the step that began after the signal came.
        """
        if self.alone:
            return stop
        if self._flag_ready is not None:
            self._flag_ready.synchronize()
        if self._flag is not None and bool(self._flag.item()):
            self._stopped = True
        return self._stopped

    def sum_rows(self, rows: list[Tensor]) -> list[list[float]]:
        """Return tensors of one shape, each summed over the ranks, on the host."""
        if self.alone or not rows:
            return [row.tolist() for row in rows]
        stacked = torch.stack(rows).double()
        distributed.all_reduce(stacked, group=self._group)
        sums: list[list[float]] = stacked.tolist()
        return sums

    # A validation

    def sum_counts(self, counts: Tensor | None) -> Tensor | None:
        """Return int64 counts, on the host, summed over all ranks; None if one has none."""
        if self.alone:
            return counts
        none = torch.tensor([counts is None], dtype=torch.int64)
        distributed.all_reduce(none)
        if none.item():
            self._stopped = True
            return None
        assert counts is not None
        distributed.all_reduce(counts)
        return counts

    def close(self, *, failed: bool = False) -> None:
        """End the training's collectives on GPUs. After a failure they are given up, not awaited.

        gloo's stay until the process ends, see `psp.ranks.connect`.
        """
        group, self._group = self._group, None
        if group is None or distributed.get_backend(group) != "nccl":
            return
        if not failed:
            distributed.destroy_process_group(group)
        elif hasattr(group, "abort"):  # not in torch 2.6
            group.abort()


@contextmanager
def joined_ranks(share: Share, say: Callable[[str], None] = lambda text: None) -> Iterator[Ranks]:
    """Yield this process's place among the ranks that torchrun started, once all are there.

    `say` gets the one line of a rank that ends because another no longer lives.
    """
    if share.total == 1:
        yield Ranks(share)
        return
    store = PrefixStore("flags", connect(share))
    ranks = Ranks(share, store)
    over = Event()
    flags = PrefixStore("flags", open_store(share))
    Thread(target=end_after_failure, args=(flags, share, over, say), daemon=True).start()
    try:
        yield ranks
    except BaseException:
        ranks.flags.announce_end()
        ranks.close(failed=True)
        raise
    over.set()
    store.set(f"left-{share.number}", "")
    ranks.close()


def plain_copy(network: PSPNet) -> PSPNet:
    """Return a copy of a network whose batch norms know nothing of other ranks."""
    copy = build(network.spec)
    copy.load_state_dict(network.state_dict())
    weight = next(network.parameters())
    # torch's type stubs lack this form of to().
    return copy.to(weight.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

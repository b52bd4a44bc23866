"""The processes that train one network together, on torch's own engine.

torchrun starts them, on one machine or on many, and says to each in the environment who it is.
Every one computes a share of each step's pictures; what all must know goes by three ways:

- the training's own collectives (sums of gradients, losses, batch statistics): NCCL between GPUs,
  gloo between CPUs. Who waits longer than HANG there waits for nobody.
- objects, errors and validation's counts: gloo, with much patience, as shares of a validation take
  longer on one rank than on another.
- words that nobody waits for (stop, failed, told): torchrun's key-value store.
"""

import inspect
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import Store
from torch.nn.parallel import DistributedDataParallel

from psp.errors import PspError, ReportedError
from psp.model.pspnet import PSPNet, build
from psp.ranks import Share
from psp.train.syncbn import synchronize

Found = TypeVar("Found")

HANG = timedelta(minutes=10)  # a step, with the first one's search for kernels
TOLD = timedelta(seconds=10)  # until an error that another rank found is printed

# Whether each forward pass copies the first rank's buffers to the others, in new torch and in old.
_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel).parameters
)


class Ranks:
    """This process among the ranks that train together. `Ranks()` is one that trains alone."""

    def __init__(self, part: Share | None = None, store: Store | None = None) -> None:
        self.part = part or Share()
        self.rank, self.total, self.first = self.part.number - 1, self.part.total, self.part.first
        self._store = store
        self._group: distributed.ProcessGroup | None = None
        self._parallel: DistributedDataParallel | None = None
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
        """Make an error of any rank in the block one of all; all leave the block together.

        The lowest rank that failed raises its own error, the others ReportedError.
        """
        if self.alone:
            yield
            return
        error: PspError | OSError | None = None
        try:
            yield
        except (PspError, OSError) as found:
            error = found
        said: list[str | None] = [None] * self.total
        distributed.all_gather_object(said, None if error is None else str(error))
        failed = [rank for rank, text in enumerate(said) if text is not None]
        if not failed:
            return
        if error is not None and failed[0] == self.rank:
            raise error
        raise ReportedError(str(said[failed[0]]))

    def share(self, make: Callable[[], Found]) -> Found:
        """Return what `make` returns on the first rank. Its PspError is raised on all."""
        if self.alone:
            return make()
        box: list[Found | None] = [None]
        with self.all_or_raise():
            if self.first:
                box = [make()]
        distributed.broadcast_object_list(box)
        found: Found = box[0]  # type: ignore[assignment]
        return found

    def most(self, number: int) -> int:
        """Return the largest of all ranks' numbers."""
        if self.alone:
            return number
        numbers = [number] * self.total
        distributed.all_gather_object(numbers, number)
        return max(numbers)

    def check_same(self, value: object, what: str) -> None:
        """Raise PspError where `value` is not what the first rank has."""
        if self.alone:
            return
        box = [value]
        distributed.broadcast_object_list(box)
        with self.all_or_raise():
            if pickle.dumps(box[0]) != pickle.dumps(value):
                raise PspError(
                    f"rank {self.rank} has another {what} ({value}) than rank 0 ({box[0]}): all "
                    "machines must see the same files, at best on one shared file system"
                )

    def spread(self, network: nn.Module) -> None:
        """Give all ranks the weights that the first one has, in place."""
        if not self.alone:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, 0, group=self._group)

    # A step

    def parallel(self, network: PSPNet, device: torch.device) -> nn.Module:
        """Return what a step calls in the place of `network`, whose batch norms are changed.

        Gradients are then means over the ranks.
        """
        if self.alone:
            return network
        assert self._group is not None
        synchronize(network, self._group, device)
        self._parallel = DistributedDataParallel(
            network,
            device_ids=[device] if device.type == "cuda" else None,
            process_group=self._group,
            gradient_as_bucket_view=True,
            # The running statistics are the same on all as they are.
            **{_BUFFERS: False},  # type: ignore[arg-type]
        )
        return self._parallel

    def unsynced(self) -> AbstractContextManager[None]:
        """Return the context of a backward pass behind which more of the step follow."""
        return nullcontext() if self._parallel is None else self._parallel.no_sync()

    def whole(self, weight: Tensor, stop: Callable[[], bool]) -> Tensor:
        """Return the sum of a scalar over all ranks. `stop` rides on it: whether this rank was
        asked to stop, which `stopped` then says to all."""
        if self.alone:
            return weight
        both = torch.stack([weight.double(), torch.full_like(weight, stop(), dtype=torch.float64)])
        distributed.all_reduce(both, group=self._group)
        if both.is_cuda:
            # Read a step later, when it has long arrived: nobody waits for the device.
            self._flag = torch.empty(1, dtype=torch.float64, pin_memory=True)
            self._flag.copy_(both[1:], non_blocking=True)
            self._flag_ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._flag_ready.record()
        else:
            self._flag = both[1:]
        return both[0].to(weight)

    def stopped(self, stop: bool) -> bool:
        """Return whether all stop here; `stop` is what this rank was asked.

        Ranks agree on the same step: they stop behind the step that began after the signal came.
        """
        if self.alone:
            return stop
        if self._flag_ready is not None:
            self._flag_ready.synchronize()
        if self._flag is not None and bool(self._flag.item()):
            self._stopped = True
        return self._stopped

    def rows(self, values: list[Tensor]) -> list[list[float]]:
        """Return tensors of one shape, summed over the ranks, on the host."""
        if self.alone or not values:
            return [value.tolist() for value in values]
        stacked = torch.stack(values).double()
        distributed.all_reduce(stacked, group=self._group)
        rows: list[list[float]] = stacked.tolist()
        return rows

    # A validation

    def calls_off(self, stop: bool) -> bool:
        """Return whether a validation ends here: this rank or another was asked to stop."""
        if self._store is None:
            return stop
        if stop:
            self._store.set("stop", "")
        return bool(self._store.check(["stop"]))

    def counted(self, counts: Tensor | None) -> Tensor | None:
        """Return the sum of int64 counts on the host over all ranks; None if one has none."""
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

    # An end before its time

    def report_failure(self, error: PspError) -> PspError:
        """Return the error to raise for one in a step: the first rank that has one speaks."""
        if self._store is None:
            return error
        with suppress(distributed.DistError):  # the store's host may be gone
            if self._store.add("failed", 1) > 1:
                return ReportedError(str(error))
        return error if self.first else PspError(f"rank {self.rank}: {error}")

    def lost(self, error: RuntimeError) -> PspError | None:
        """Return the error of a rank whose connection to another has broken, None for others."""
        broken = isinstance(error, distributed.DistError) or "gloo" in str(error).lower()
        if self._store is None or not broken:
            return None
        return self.report_failure(
            PspError(
                "another rank has ended. If it said nothing, it was killed (out of memory?). What "
                "was reached is in the newest checkpoint: go on with --resume"
            )
        )

    def tell(self) -> None:
        """Say that this rank ends before its time, its error being printed: the others may end."""
        if self._store is not None:
            with suppress(distributed.DistError):
                self._store.add("failed", 1)
                self._store.set("told", "")

    def wait_until_told(self) -> None:
        """Wait for `tell`: torchrun ends all ranks as soon as one has ended."""
        if self._store is not None:
            with suppress(distributed.DistError):
                self._store.wait(["told"], TOLD)


def twin(network: PSPNet) -> PSPNet:
    """Return a copy of a network whose batch norms know nothing of other ranks."""
    copy = build(network.spec)
    copy.load_state_dict(network.state_dict())
    weight = next(network.parameters())
    # torch's type stubs lack this form of to().
    return copy.to(weight.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

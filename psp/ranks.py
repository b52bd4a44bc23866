"""Which share of the work this process does, where several do it together.

torchrun says so in the environment (RANK, WORLD_SIZE, LOCAL_RANK); a user does with --part 3/64,
where every share is a call of its own, on whatever machine, that needs no contact with the others.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from psp.errors import PspError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

Item = TypeVar("Item")

CONNECT = timedelta(minutes=10)  # until all ranks have found each other
ASK = 0.02  # seconds between two looks for ranks that ask
PATIENCE = timedelta(hours=6)  # one rank's share of a validation may take longer than another's


@dataclass(frozen=True)
class Share:
    """The share `number` of `total`, counted from 1."""

    number: int = 1
    total: int = 1

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this share's items: every `total`-th. All shares together are all items, once."""
        return items[self.number - 1 :: self.total]

    @property
    def first(self) -> bool:
        """Whether this share's process reports for all."""
        return self.number == 1

    def __str__(self) -> str:
        return f"{self.number}-of-{self.total}"


def share_from(text: str) -> Share:
    """Return the share that a text such as 3/64 means. Raises PspError."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise PspError(
            f"--part {text}: must be a share and their number, such as 3/64; 999999 at most."
        )
    return Share(int(match[1]), int(match[2]))


def rank_share() -> Share:
    """Return this process's share among those that torchrun started, 1 of 1 without it.

    Raises PspError when the environment contradicts itself.
    """
    rank, world = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None or world is None:
        return Share()
    if not (rank.isdigit() and world.isdigit() and int(rank) < int(world)):
        raise PspError(
            f"RANK={rank} and WORLD_SIZE={world} in the environment: not what torchrun sets."
        )
    return Share(int(rank) + 1, int(world))


def under_torchrun() -> bool:
    """Whether torchrun, or something like it, started this process, even as the only one."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def environment_alone() -> dict[str, str]:
    """Return the environment for a process that is no rank, even if this one is."""
    ours = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def ranks_here() -> int:
    """Return how many ranks torchrun started on this machine, 1 without it."""
    local = os.environ.get("LOCAL_WORLD_SIZE", "")
    return int(local) if local.isdigit() and int(local) > 0 else 1


def launch_name() -> str | None:
    """Return a name for the call of torchrun that started this process, None without torchrun.

    No other call has the same one, and it stays the same over restarts, on all machines: it is kept
    in the store of torchrun itself, which outlives the ranks. Each machine's count of restarts says
    less: one that only restarts because another failed counts none.
    """
    run_id = os.environ.get("TORCHELASTIC_RUN_ID")
    if run_id is None:
        return None
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and reachable():
        with others_there():
            kept: bytes = _torchrun_store().compare_set("psp-launch", "", uuid4().hex)
            return kept.decode()
    return f"{run_id}-{os.uname().nodename}-{os.getppid()}"


def within(share: Share, rank: Share) -> Share:
    """Return a rank's share of a share: 3/64 on 2 ranks is 3/128 and 67/128."""
    return Share(share.number + share.total * (rank.number - 1), share.total * rank.total)


def own_share(part: str | None) -> Share:
    """Return what this process does of the share in the option --part, if there is one: all of it,
    or under torchrun its rank's. Raises PspError."""
    rank = rank_share()
    return within(share_from(part), rank) if part else rank


def device_name(text: str) -> str:
    """Return a device as torch calls it: `0` and `gpu:0` are cuda:0, `gpu` is cuda.

    Raises PspError for several devices.
    """
    name = re.sub(r"^gpu\b", "cuda", text.strip().lower())
    devices = [part for part in re.split(r"[,\s]+", name.removeprefix("cuda:")) if part]
    if len(devices) > 1 and all(part.removeprefix("cuda:").isdecimal() for part in devices):
        raise PspError(
            f"--device {text}: psp computes on one device. To train on {len(devices)} GPUs: psp "
            f"train SHARDS --gpus {len(devices)}; to evaluate or predict: torchrun "
            f"--nproc-per-node {len(devices)} -m psp ..."
        )
    return f"cuda:{int(name)}" if name.isascii() and name.isdecimal() else name


def training_device(device: str) -> str:
    """Return the GPU of this rank where several train. Raises PspError where that is not one each.

    Ranks that share a GPU would wait for each other: NCCL knows one rank a device.
    """
    if rank_share().total == 1 or device == "cpu":
        return device
    if device.startswith("cuda:"):
        raise PspError(f"--device {device}: each rank takes its own GPU. Leave :N out")
    import torch

    count = torch.cuda.device_count()
    if 0 < count < ranks_here():
        raise PspError(
            f"{ranks_here()} ranks and {count} CUDA devices here: one rank a GPU. Start {count}, "
            "or add --device cpu"
        )
    return local_device(device)


def local_device(device: str) -> str:
    """Return the GPU of this rank where `device` leaves open which: auto and cuda."""
    local = os.environ.get("LOCAL_RANK", "")
    if device in ("auto", "cuda") and local.isdigit() and rank_share().total > 1:
        import torch

        if torch.cuda.is_available():
            return f"cuda:{int(local) % torch.cuda.device_count()}"
    return device


def reachable() -> bool:
    """Whether the environment says where the ranks find each other, as torchrun's does."""
    return "MASTER_ADDR" in os.environ and "MASTER_PORT" in os.environ


def connect(share: Share) -> "Store":
    """Let the ranks that torchrun started exchange counts and objects, by gloo on the CPU.

    Returns torchrun's key-value store, with what belongs to this start of the ranks. The connection
    lasts until the process ends: gloo now and then hangs when it is taken down (seen with torch 2.6
    and three ranks).

    Raises PspError if the environment does not say where the others are, or they do not come.
    """
    from torch import distributed

    if not reachable():
        raise PspError(
            f"RANK and WORLD_SIZE={share.total} are in the environment, MASTER_ADDR and "
            "MASTER_PORT are not: start the ranks with torchrun, or unset RANK"
        )
    with others_there():
        store = open_store(share)
        if not distributed.is_initialized():
            distributed.init_process_group(
                "gloo", store=store, rank=share.number - 1, world_size=share.total, timeout=PATIENCE
            )
    return store


def connected(share: Share) -> Share:
    """Return this rank's place among those that it is connected with from now on: all, or none
    where the environment does not say where the others are."""
    if share.total == 1 or not reachable():
        return Share()
    connect(share)
    return share


def sum_over_ranks(share: Share, numbers: Sequence[int]) -> list[int]:
    """Return the sums of the numbers of connected ranks; all wait for the last.

    Raises PspError if a rank has ended before.
    """
    import torch
    from torch import distributed

    sums = torch.tensor(numbers, dtype=torch.int64)
    if share.total > 1:
        with others_there():
            distributed.all_reduce(sums)
    return [int(number) for number in sums]


def connection_broke(error: RuntimeError) -> bool:
    """Whether an error of torch means that another rank cannot be reached, or no longer."""
    from torch import distributed

    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()


@contextmanager
def others_there() -> Iterator[None]:
    """Raise PspError where the block loses the connection to another rank, or does not find it."""
    try:
        yield
    except RuntimeError as error:
        if not connection_broke(error):
            raise
        raise PspError(
            "another rank has ended, or did not come. If it printed nothing, it was killed (out of "
            "memory?). Run the same command again"
        ) from None


def open_store(share: Share) -> "Store":
    """Return a connection of its own to torchrun's store: one that waits keeps no other waiting.

    The store outlives the ranks, so what these write is kept apart from what those before a restart
    wrote. Waits for the other ranks at the first call.
    """
    from torch.distributed.distributed_c10d import PrefixStore

    _, token = _first_connection(share)
    return PrefixStore(f"psp-{token}", _torchrun_store())


def _torchrun_store() -> "Store":
    from torch.distributed.rendezvous import rendezvous

    store: Store = next(rendezvous("env://", timeout=CONNECT))[0]
    return store


@cache  # where the first rank hosts the store, it lives as long as this connection
def _first_connection(share: Share) -> "tuple[Store, str]":
    """Connect with the store; return also what names this start of the ranks.

    The first rank draws it, and tells each other. A rank asks with a number that it has just drawn,
    so that an answer can be none of an earlier start, whose answers are still in the store.
    """
    store, own = _torchrun_store(), uuid4().hex
    if not share.first:
        store.set(f"psp-asks-{share.number}", own)
        store.wait([f"psp-answer-{own}"], CONNECT)
        token = store.get(f"psp-answer-{own}").decode()
        store.set(f"psp-has-{token}-{share.number}", "")
        return store, token
    missing = set(range(2, share.total + 1))
    end = time.monotonic() + CONNECT.total_seconds()
    while missing:
        if time.monotonic() > end:
            # The store's own error, with the ranks that did not come.
            store.wait([f"psp-has-{own}-{number}" for number in missing], timedelta(milliseconds=1))
        for number in sorted(missing):
            if store.check([f"psp-has-{own}-{number}"]):
                missing.discard(number)
            elif store.check([f"psp-asks-{number}"]):
                store.set(f"psp-answer-{store.get(f'psp-asks-{number}').decode()}", own)
        time.sleep(ASK)
    return store, own

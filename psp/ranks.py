"""Which share of the work is this process's, where several do it together.

torchrun says so in the environment (RANK, WORLD_SIZE, LOCAL_RANK); a user does with --part 3/64,
where every part is a call of its own, on whatever machine, that needs to meet none of the others.
"""

import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from psp.errors import PspError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Share:
    """The share `number` of `total`, counted from 1."""

    number: int = 1
    total: int = 1

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this part's items: every `total`-th. All parts together are all items, once."""
        return items[self.number - 1 :: self.total]

    @property
    def first(self) -> bool:
        """Whether this is the part that speaks for all."""
        return self.number == 1

    def __str__(self) -> str:
        return f"{self.number}-of-{self.total}"


def share_from(text: str) -> Share:
    """Return the part that a text such as 3/64 means. Raises PspError."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise PspError(
            f"--part {text}: a part and how many there are, such as 3/64; 999999 at most."
        )
    return Share(int(found[1]), int(found[2]))


def rank_share() -> Share:
    """Return this process's part among those that torchrun started, 1 of 1 without it.

    Raises PspError when the environment contradicts itself.
    """
    rank, world = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None or world is None:
        return Share()
    if not (rank.isdigit() and world.isdigit() and int(rank) < int(world)):
        raise PspError(f"RANK={rank} and WORLD_SIZE={world} in the environment: not as torchrun's.")
    return Share(int(rank) + 1, int(world))


def under_torchrun() -> bool:
    """Whether torchrun, or what acts like it, started this process; be it the only one."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def ranks_here() -> int:
    """Return how many ranks torchrun started on this machine, 1 without it."""
    local = os.environ.get("LOCAL_WORLD_SIZE", "")
    return int(local) if local.isdigit() and int(local) > 0 else 1


def restarts() -> int:
    """Return how often torchrun has started the ranks again after one of them had ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def launch_name() -> str | None:
    """Return what tells the call of torchrun that this process belongs to from all others; it
    stays over restarts. None without torchrun."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    if name is None:
        return None
    # torchrun's own name is "none" unless one is given, or --standalone: then its process counts.
    return f"{socket.gethostname()}-{os.getppid()}" if name in ("", "none") else name


def within(part: Share, rank: Share) -> Share:
    """Return a rank's part of a part: 3/64 on 2 ranks is 3/128 and 67/128."""
    return Share(part.number + part.total * (rank.number - 1), part.total * rank.total)


def training_device(device: str) -> str:
    """Return the GPU of this rank where several train. Raises PspError where that is not one each.

    Ranks that share a GPU would wait for each other: NCCL knows one rank a device.
    """
    if rank_share().total == 1 or device == "cpu":
        return device
    if device.startswith("cuda:"):
        raise PspError(f"--device {device}: each rank takes the GPU of its own. Leave :N out")
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

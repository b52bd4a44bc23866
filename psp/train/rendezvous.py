"""Ranks find each other, and do not outlive each other.

torchrun starts them and says to each in the environment who it is and where its key-value store is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Event, Thread

from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from psp.ranks import Share, restarts
from psp.train.distributed import HANG, TOLD, Ranks

PATIENCE = timedelta(hours=6)  # a validation


@contextmanager
def meeting(part: Share) -> Iterator[Ranks]:
    """Let the ranks that torchrun started find each other.

    What they talk through is never taken down, as gloo now and then hangs in that (seen with torch
    2.6 and three ranks): the process is to end at once.
    """
    if part.total == 1:
        yield Ranks(part)
        return
    store = _store()
    distributed.init_process_group(
        "gloo", store=store, rank=part.number - 1, world_size=part.total, timeout=PATIENCE
    )
    words = PrefixStore("words", store)
    # A connection of its own: one that waits for a word keeps others waiting.
    over = Event()
    own = PrefixStore("words", _store())
    Thread(target=_follow, args=(own, over), daemon=True).start()
    ranks = Ranks(part, words)
    try:
        yield ranks
    except BaseException:
        ranks.tell()
        raise
    over.set()


def _store() -> Store:
    """Connect to the store of the ranks that torchrun started together.

    Its own outlives them: addresses and words of those before a restart are still in it.
    """
    store, _, _ = next(rendezvous("env://", timeout=HANG))
    return PrefixStore(f"psp-{restarts()}", store)


def _follow(words: Store, over: Event) -> None:
    """End this process some seconds after another rank has failed, unless it is `over` by itself.

    Most have done so by then, as gloo notices a broken connection and torchrun ends what it
    started; but a GPU waits for one on another machine until NCCL's own time is up.
    """
    with suppress(RuntimeError):  # whoever held the store has ended, and that was not the plan
        while not words.check(["failed"]):
            if over.wait(2):
                return
    if not over.wait(TOLD.total_seconds()):
        os._exit(2)

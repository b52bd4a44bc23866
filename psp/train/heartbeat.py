"""Ranks that watch each other, so that none waits for one that is gone."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from threading import Event

from torch.distributed.distributed_c10d import Store

from psp.ranks import Share

REPORT = timedelta(seconds=10)  # until an error that another rank found is printed
BEAT = 2.0  # seconds between two signs of life of a rank
SILENT = 15  # so many beats without one from a rank mean that it is gone


def end_after_failure(flags: Store, share: Share, over: Event, say: Callable[[str], None]) -> None:
    """End this process some seconds after another rank has failed, unless the block is `over`.

    Most have ended by then, as gloo notices a broken connection and torchrun ends what it started;
    but a GPU waits for one on another machine until NCCL's own timeout. So that a rank is missed
    whose machine is gone, each counts aloud, and watches the next one's count.
    """
    following = share.number % share.total + 1
    heard, silent = -1, 0
    with suppress(RuntimeError):  # the store's host has ended
        while not flags.check(["failed"]):
            if over.wait(BEAT):
                return
            flags.add(f"beat-{share.number}", 1)
            count = flags.add(f"beat-{following}", 0)
            # Counted in beats of this process, which stop with it where a whole job is suspended.
            silent = silent + 1 if count == heard else 0
            heard = count
            if silent >= SILENT and not flags.check([f"left-{following}"]):
                flags.set("failed", "")
                if not over.wait(REPORT.total_seconds()):
                    say(
                        f"rank {following - 1} has not answered for {round(SILENT * BEAT)} s: its "
                        "process or its machine is gone. Run the same command with --resume"
                    )
                    os._exit(2)
    if not over.wait(REPORT.total_seconds()):
        os._exit(2)

"""Flags that ranks raise for each other, and that nobody waits for: stop, failed, reported.

They are keys of torchrun's own store. Why, when torchrun has
`torch.distributed.elastic.multiprocessing.errors.record`: that one makes torchrun print a report of
some forty lines, with a traceback of every rank whose connection broke after the first failure.
Here a user's mistake is one line, said once; the other ranks see the flag, print nothing, and end
even if they hang in a collective.
"""

from contextlib import suppress

from torch import distributed
from torch.distributed.distributed_c10d import Store

from psp.errors import PspError, ReportedError
from psp.ranks import Share, connection_broke
from psp.train.heartbeat import REPORT


class Flags:
    """What this rank says to the others, and hears from them; without a store, it is alone."""

    def __init__(self, share: Share, store: Store | None = None) -> None:
        self._share, self._store = share, store

    def stop_asked(self, stop: bool) -> bool:
        """Return whether this rank or another was asked to stop; `stop` is whether this one was."""
        if self._store is None:
            return stop
        if stop:
            self._store.set("stop", "")
        return bool(self._store.check(["stop"]))

    def report_failure(self, error: PspError) -> PspError:
        """Return the error to raise for a failure in a step.

        Only the first failing rank shows it; on the others it is a ReportedError.
        """
        if self._store is None:
            return error
        with suppress(distributed.DistError):  # the store's host may be gone
            if self._store.add("failed", 1) > 1:
                return ReportedError(str(error))
        return error if self._share.first else PspError(f"rank {self._share.number - 1}: {error}")

    def connection_error(self, error: RuntimeError) -> PspError | None:
        """Return the error to raise where a connection to another rank broke, None for others."""
        if self._store is None or not connection_broke(error):
            return None
        return self.report_failure(
            PspError(
                "another rank has ended. If it printed nothing, it was killed (out of memory?). "
                "Continue from the newest checkpoint with --resume"
            )
        )

    def announce_end(self) -> None:
        """Tell the others that this rank ends early and has printed its error: they may end too."""
        if self._store is not None:
            with suppress(distributed.DistError):
                self._store.add("failed", 1)
                self._store.set("reported", "")

    def wait_for_report(self) -> None:
        """Wait for `announce_end`: torchrun ends all ranks as soon as one has ended."""
        if self._store is not None:
            with suppress(distributed.DistError):
                self._store.wait(["reported"], REPORT)

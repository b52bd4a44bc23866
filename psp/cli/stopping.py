"""How a command ends before it is done: by a signal, or by an error on one of several ranks."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import typer

from psp.cli.options import debugging
from psp.errors import PspError, ReportedError
from psp.ranks import rank_share

if TYPE_CHECKING:
    from psp.train.distributed import Ranks

INCOMPLETE = 3  # exit code: done, but some inputs failed and are listed


def leave(code: int) -> NoReturn:
    """End this process at once, as one of several ranks.

    torch's threads may still be talking to other ranks. A normal exit of Python frees what they
    use, and then sometimes aborts or hangs.
    """
    import multiprocessing  # here, so that `psp --help` does not wait for it

    for loader in multiprocessing.active_children():
        loader.terminate()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def end_of_rank(code: int | str | None) -> int | str | None:
    """Return the exit code of this process: that of "done, but some failed" is 0 for a rank.

    torchrun ends the other ranks in the middle of their work when one does not end with 0.
    """
    return 0 if code == INCOMPLETE and rank_share().total > 1 else code


def work_on_one_rank(command: str) -> None:
    """End every rank but the first: two that write the same would be in each other's way."""
    rank = rank_share()
    if not rank.first:
        print(
            f"rank {rank.number - 1} of {rank.total}: psp {command} works on rank 0 alone",
            file=sys.stderr,
        )
        raise typer.Exit


@contextlib.contextmanager
def reported_once(ranks: "Ranks") -> Iterator[None]:
    """Let one rank print an error before any rank ends, since torchrun then ends all of them."""
    try:
        yield
    except ReportedError:
        ranks.flags.wait_for_report()
        leave(2)
    except PspError as error:
        if ranks.alone or debugging():
            raise
        from psp.cli.console import show_error

        show_error(str(error))
        ranks.flags.announce_end()
        leave(2)


@contextlib.contextmanager
def quiet_interrupts() -> Iterator[None]:
    """Print no traceback of a KeyboardInterrupt that Python drops.

    One that is raised while an object is freed, such as a loader with its processes, cannot be
    caught anywhere. Python's own hook shows all others.
    """
    previous = sys.unraisablehook

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            previous(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = previous


@contextlib.contextmanager
def stop_signals(*, announce: bool) -> Iterator[list[int]]:
    """Yield a list of the stop signals received. A second one raises KeyboardInterrupt at once.

    Schedulers send SIGUSR1 before the time is up, and SIGHUP comes when a terminal or a connection
    closes (under nohup it is ignored, and stays ignored). `announce`: say so on stderr.
    """
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt(number)
        received.append(number)
        if announce:
            with contextlib.suppress(OSError):  # the terminal may be gone
                print("\nstopping after this step (repeat to stop at once)", file=sys.stderr)

    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP}
    numbers -= {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

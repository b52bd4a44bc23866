"""Maps over worker processes and threads that keep the order and need little memory."""

import gc
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from pathlib import Path
from typing import Any, TypeVar

from psp.errors import PspError

Item = TypeVar("Item")
Result = TypeVar("Result")

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
CHUNK_ITEMS, CHUNK_BYTES = 32, 8 << 20  # what one message to a worker holds at most
CHUNKS_AHEAD = 2  # per worker: one in work, one waiting

_work: Callable[[Any], Any] | None = None  # in a worker: what it does


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int | None:
    """Return how many bytes of memory this machine has free; None where it does not say so."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:  # not Linux
        return None
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def cgroup_limit(files: tuple[str, ...] = CGROUP_LIMITS) -> int | None:
    """Return the bytes that a container or a job may use; None without a limit."""
    for name in files:
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if text.isdecimal() and int(text) < 1 << 60:  # version 1 writes a huge number for none
            return int(text)
    return None


def warm_up(make: Callable[..., Callable[[Any], Any]]) -> None:
    """Let worker processes load what `make` needs, while the caller goes on; maps use it.

    They never get Ctrl-C, which is for the main process: they inherit that it is blocked. While
    they are still loading, it would end them with a traceback each.
    """
    forkserver.set_forkserver_preload([make.__module__])
    resource_tracker.ensure_running()  # it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prefetch_map(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    weight: Callable[[Item], int] = lambda item: 0,
    most: int = 0,
) -> Generator[Result, None, None]:
    """Yield work(item) for each item, in order, while threads work on the next ones.

    `items` are taken from this thread. As many are under way as there are threads, but their
    `weight` is at most `most` together. An error of `work` is raised in its turn. Closing the
    generator waits for what is under way.
    """
    pool = ThreadPoolExecutor(threads, "ahead")
    under_way: deque[tuple[Future[Result], int]] = deque()
    try:
        for item in items:
            under_way.append((pool.submit(work, item), weight(item)))
            del item  # it may be large, and belongs to the thread now
            while len(under_way) > threads or (under_way and sum(w for _, w in under_way) > most):
                yield under_way.popleft()[0].result()
        while under_way:
            yield under_way.popleft()[0].result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def map_in_processes(
    make: Callable[..., Callable[[Item], Result]],
    arguments: tuple[Any, ...],
    items: Iterable[tuple[Item, int]],
    workers: int,
) -> Generator[Result]:
    """Yield make(*arguments)(item) for each (item, size in bytes), in order.

    One worker means this process. Otherwise each process makes its own function once, and has at
    most a few megabytes of items under way. Raises PspError when a worker dies or none can be
    started; an error of the function itself is raised as it is.
    """
    if workers <= 1:
        _keep_freed_memory()
        work = make(*arguments)
        for item, _ in items:
            yield work(item)
        return
    warm_up(make)
    context = get_context("forkserver")  # a fork of this process would take its threads' locks
    try:
        pool = ProcessPoolExecutor(workers, context, _begin, (make, arguments))
    except OSError as error:  # their locks are files
        raise PspError(
            f"worker processes cannot be started: /dev/shm: {error.strerror or error}. Make it "
            "writable, or run without them: --workers 1"
        ) from None
    under_way: deque[Future[list[Result]]] = deque()
    try:
        for chunk in _chunks(items):
            under_way.append(pool.submit(_run, chunk))
            if len(under_way) > CHUNKS_AHEAD * workers:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()
    except BrokenProcessPool:
        raise PspError(
            "a worker process died, possibly out of memory. Run it again with fewer --workers: "
            "what is finished is kept"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(items: Iterable[tuple[Item, int]]) -> Generator[list[Item]]:
    chunk: list[Item] = []
    total = 0
    for item, size in items:
        chunk.append(item)
        total += size
        if len(chunk) >= CHUNK_ITEMS or total >= CHUNK_BYTES:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk


def _begin(make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    global _work
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _keep_freed_memory()
    _work = make(*arguments)
    gc.freeze()  # what is loaded by now stays loaded: no collection needs to look at it


def _keep_freed_memory() -> None:
    """Let the C library keep what arrays of a few megabytes free, for the next ones.

    glibc returns freed blocks to the system above a size that grows with the largest block freed
    so far, up to 32 MB. Getting them again for each picture costs a sixth of the time.
    """
    bytes(31 << 20)


def _exit_with_parent() -> None:
    """End this process when its parent was killed: nothing else would end it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(chunk: list[Any]) -> list[Any]:
    assert _work is not None
    return [_work(item) for item in chunk]

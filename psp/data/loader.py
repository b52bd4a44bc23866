"""Batches for training: a stream that is a pure function of (seed, step, position).

Sample k of a run (k = step * batch + position) is a picture of the epoch that contains k, augmented
with a generator seeded by (seed, k). There is no other state, so the stream is the same for any
number of workers or ranks and after any resume, even in the middle of an epoch. Epochs follow each
other without a gap; each has every picture once, but for samples that look for a class
(psp.data.class_crops).
"""

import errno
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from psp.data.augment import apply, choose, limited, matrix
from psp.data.class_crops import Draw, class_draws
from psp.data.shards import ShardSplit
from psp.data.warp import shown
from psp.errors import PspError
from psp.ranks import Share
from psp.settings.augmentation import Augmentation

# The order of pictures and the random choices come from different streams of the same seed.
_ORDER, _CHOICES = 1, 2


SHARED_MEMORY = Path("/dev/shm")  # on Linux
BATCHES_PER_WORKER = 3  # two that are ready (torch's prefetch_factor), and one in use

_MEMORY = "the machine or container has probably run out of memory"
_LIMITS = {
    errno.EMFILE: "this process may open too few files (see: ulimit -n)",
    errno.ENFILE: "this machine may open no more files",
    errno.EAGAIN: "this user may start no more processes (see: ulimit -u)",
    errno.ENOMEM: "there is no memory left for another process",
}

Crop = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class LoadingError(PspError):
    """Not the shards failed but the processes that load them: what they have done is right."""


class Crops(Dataset[Crop | PspError]):
    """The endless stream of training crops, indexed by sample number."""

    def __init__(
        self,
        split: ShardSplit,
        settings: Augmentation,
        seed: int,
        *,
        fill: tuple[int, int, int] = (124, 116, 104),
    ) -> None:
        """`fill` is the (R, G, B) of `outside = "mean"`, ImageNet's mean if not given."""
        self.split, self.settings, self.seed = split, settings, seed
        self.fill = (0, 0, 0) if settings.outside == "black" else fill
        self.draws = class_draws(split, settings.class_crops, seed)

    def index(self, number: int) -> int:
        """Return which picture of the split sample `number` shows."""
        return self._index(number, self.draws(number))

    def _index(self, number: int, draw: Draw | None) -> int:
        if draw is not None:
            return draw.index
        epoch, position = divmod(number, len(self.split))
        return int(_permutation(self.seed, epoch, len(self.split))[position])

    def names(self, numbers: range) -> list[str]:
        """Return the names of the pictures that these samples show."""
        return [self.split.names[self.index(number)] for number in numbers]

    def __getitem__(self, number: int) -> Crop | PspError:
        """Return image uint8 (h, w, 3) RGB and label uint8 (h, w), of the crop's size.

        An error is returned, not raised: torch would wrap it in a worker's traceback.
        """
        try:
            return self._crop(number)
        except PspError as error:
            return error

    def _crop(self, number: int) -> Crop:
        draw = self.draws(number)
        index = self._index(number, draw)
        label = self.split.label(index)
        rng = np.random.default_rng([self.seed, _CHOICES, number])
        height, width = label.shape
        seen = draw.pixel(label) if draw else None
        choice = choose(self.settings, height, width, rng, seen)
        if seen is None:  # another place would lose the pixel
            choice = limited(choice, self.settings, label, rng)
        size = self.settings.size
        rows, _ = shown(matrix(choice, height, width), *size.shape, height, width)
        image = self.split.image_rows(index, rows)
        return apply(choice, size, image, label, self.fill)


@lru_cache(maxsize=2)  # a batch may contain the end of an epoch
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


def batches(
    crops: Crops, batch: int, steps: range, workers: int, *, pin: bool, share: Share | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of `steps`: images uint8 (batch, h, w, 3), labels uint8 (batch, h, w).

    A step of several micro-batches is as many steps of smaller batches here. One of several ranks
    gets its `share` of each batch, contiguous samples: all ranks together get the batch.

    Raises PspError if a sample in the shards is damaged, and LoadingError if it is not the shards
    but the processes that load them.
    """
    share = share or Share()
    own = batch // share.total
    loader: DataLoader[Crop | PspError] = DataLoader(
        crops,
        batch_sampler=_Ranges(steps, batch, (share.number - 1) * own, own),
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_begin_worker,
        pin_memory=pin,
    )
    with _named_deaths():
        for item in _begun(loader):
            if isinstance(item, PspError):
                raise item
            yield item


def _begun(loader: DataLoader[Crop | PspError]) -> Iterator[Any]:
    """Start a loader without torch's handler of SIGCHLD.

    It raises an error wherever the training is just then when a worker dies, even in the middle of
    a step. Without it the next batch that is waited for does, a few seconds later.
    """
    before = signal.getsignal(signal.SIGCHLD)
    items = iter(loader)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, before if before is not None else signal.SIG_DFL)
    return items


@contextmanager
def _named_deaths() -> Iterator[None]:
    """Raise LoadingError where loading processes were killed or could not be started."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        cause = _MEMORY
        if "bus error" in str(error).lower():
            cause = "shared memory (/dev/shm) has probably run out"
        raise LoadingError(f"a process that loads pictures was killed: {cause}") from None
    except (ConnectionError, EOFError):  # it was killed while a batch was handed over
        raise LoadingError(f"a process that loads pictures was killed: {_MEMORY}") from None
    except OSError as error:
        if error.filename is not None or error.errno not in _LIMITS:
            raise
        raise LoadingError(f"pictures cannot be loaded: {_LIMITS[error.errno]}") from None


def workers_that_fit(workers: int, batch_bytes: int) -> int:
    """Return how many of the loading processes have room for their batches in shared memory.

    Batches travel through /dev/shm, of which containers have little by default; a process that
    finds it full is killed.
    """
    if workers == 0 or not SHARED_MEMORY.is_dir():
        return workers
    free = shutil.disk_usage(SHARED_MEMORY).free
    return min(workers, free // (BATCHES_PER_WORKER * batch_bytes))


@dataclass(frozen=True)
class _Ranges:
    """Yields the sample numbers of each step: `count` of its batch, from position `first` on."""

    steps: range
    batch: int
    first: int
    count: int

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.steps:
            start = step * self.batch + self.first
            yield list(range(start, start + self.count))

    def __len__(self) -> int:
        return len(self.steps)


def _collate(samples: list[Crop | PspError]) -> tuple[Tensor, Tensor] | PspError:
    for sample in samples:
        if isinstance(sample, PspError):
            return sample
    images, labels = default_collate(samples)
    return images, labels


def _begin_worker(worker: int) -> None:
    """Set up a worker process: one thread, because the workers already use all cores.

    The main process handles signals, and needs the workers to finish the step. In their own process
    group they do not get the signals that a terminal sends; only SIGTERM ends them.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)

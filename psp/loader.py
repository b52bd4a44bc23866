"""Batches for training: a stream that is a pure function of (seed, step, position).

Sample k of a run (k = step * batch + position) is one picture of the epoch that k lies in, with
random choices drawn from a generator seeded by (seed, k). Nothing else is remembered, so the stream
is the same for any number of workers and after any resume, in the middle of an epoch too. Epochs
follow each other without a gap; every picture comes once in each.
"""

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from psp.augment import Augmentation, apply, choose
from psp.shards import ShardSplit

# Different purposes draw from different streams of one seed.
_ORDER, _CHOICES = 1, 2


class Crops(Dataset[tuple[NDArray[np.uint8], NDArray[np.uint8]]]):
    """The endless stream of training crops, addressed by sample number."""

    def __init__(self, split: ShardSplit, spec: Augmentation, seed: int) -> None:
        self.split, self.spec, self.seed = split, spec, seed

    def index(self, number: int) -> int:
        """Return which picture of the split sample `number` shows."""
        epoch, position = divmod(number, len(self.split))
        return int(_permutation(self.seed, epoch, len(self.split))[position])

    def __getitem__(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return image uint8 (crop, crop, 3) RGB and label uint8 (crop, crop)."""
        index = self.index(number)
        image, label = self.split.image(index), self.split.label(index)
        rng = np.random.default_rng([self.seed, _CHOICES, number])
        height, width = label.shape
        return apply(self.spec, choose(self.spec, height, width, rng), image, label)


@lru_cache(maxsize=2)  # a batch spans at most a few epochs' ends
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


def batches(
    crops: Crops, batch: int, steps: range, workers: int, *, pin: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of `steps`: images uint8 (batch, crop, crop, 3), labels uint8 (…)."""
    loader = DataLoader(
        crops,
        batch_size=batch,
        sampler=range(steps.start * batch, steps.stop * batch),
        num_workers=workers,
        worker_init_fn=_single_threaded,
        pin_memory=pin,
    )
    yield from loader


def _single_threaded(worker: int) -> None:
    """Workers are the parallelism; threads inside them would only fight over the cores."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)

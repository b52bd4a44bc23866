"""Counting a split's confusion matrix: what validation and evaluation share."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psp.data.card import IGNORE
from psp.data.manifest import REMAKE
from psp.data.shards import ShardSplit
from psp.device import memory_ran_out
from psp.errors import PspError
from psp.evaluate.metrics import Confusion
from psp.images import ignore_warnings
from psp.model.inference import SlidingWindow
from psp.model.procedure import Procedure
from psp.workers import cores, prefetch_map

THREADS = 4  # that decode, where there are as many cores


def score_split(
    model: SlidingWindow,
    split: ShardSplit,
    procedure: Procedure,
    report: Callable[[int], None] = lambda done: None,
    indices: Sequence[int] | None = None,
) -> Confusion:
    """Parse every picture of a split, or those of `indices`, and count; `report` gets the number
    of pictures done."""
    chosen = range(len(split)) if indices is None else indices
    total = torch.zeros(model.classes**2, dtype=torch.int64, device=model.device)
    with closing(predictions_of(model, split, procedure, chosen)) as looks:
        for done, look in enumerate(looks, start=1):
            total += look.counts(model.classes)
            report(done)
    confusion = Confusion(model.classes)
    confusion.add(total.cpu().numpy())
    return confusion


@dataclass(frozen=True)
class Look:
    """What the model made of a sample: uint8 (H, W), on the device. `truth` is on the host."""

    index: int
    where: str
    guess: Tensor
    truth: NDArray[np.uint8] | None  # None where the split has no labels

    def counts(self, classes: int) -> Tensor:
        """Return its confusion matrix on the device, int64 (classes²,).

        Raises PspError for labels that do not fit the picture or the classes.
        """
        assert self.truth is not None
        if self.truth.shape != tuple(self.guess.shape):
            raise PspError(f"{self.where}: the label's size is not the picture's. {REMAKE}")
        try:
            return count(torch.from_numpy(self.truth).to(self.guess.device), self.guess, classes)
        except ValueError as error:
            raise PspError(f"{self.where}: its label has {error}. {REMAKE}") from None


def predictions_of(
    model: SlidingWindow, split: ShardSplit, procedure: Procedure, indices: Iterable[int]
) -> Generator[Look, None, None]:
    """Yield what the model makes of samples, while threads decode the next ones.

    Raises PspError for a picture that needs more memory than there is.
    """

    def decoded(index: int) -> tuple[int, NDArray[np.uint8], NDArray[np.uint8] | None]:
        return index, split.image(index), split.label(index) if split.labeled else None

    with (
        ignore_warnings(),
        closing(prefetch_map(decoded, indices, min(THREADS, cores()))) as samples,
    ):
        for index, image, truth in samples:
            where = f"{split.folder}: sample '{split.names[index]}'"
            try:
                guess = model.label_map(image, procedure)
            except Exception as error:
                if not memory_ran_out(error):
                    raise
                raise PspError(
                    f"{where}: not enough memory on {model.device} for this picture of "
                    f"{image.shape[1]}x{image.shape[0]} with windows of {procedure.crop}. Try a "
                    "smaller --crop, or --device cpu"
                ) from None
            yield Look(index, where, guess, truth)


def count(truth: Tensor, guess: Tensor, classes: int) -> Tensor:
    """Return counts[t * classes + g], int64 (classes²,), of two uint8 (H, W) maps on one device.

    Raises ValueError for a class out of range: none is ever merged into another, or dropped.
    """
    scored = truth != IGNORE
    pairs = torch.stack([truth[scored], guess[scored]]).long()  # (2, n)
    if pairs.numel() and int(pairs.max()) >= classes:
        raise ValueError(f"a class outside 0..{classes - 1}: {int(pairs.max())}")
    return torch.bincount(pairs[0] * classes + pairs[1], minlength=classes * classes)


def check_labeled(split: ShardSplit) -> None:
    """Raise PspError for a leaderboard's split: it has pictures alone."""
    if not split.labeled:
        raise PspError(
            f"{split.folder}: split '{split.split}' has no labels to compare with. "
            "psp evaluate --save-labels DIR writes label files for its leaderboard"
        )


def check_classes(split: ShardSplit, classes: tuple[str, ...], owner: str) -> None:
    """Raise PspError unless the shards have exactly these classes in this order."""
    names = split.card.names
    if names == classes:
        return
    if len(names) != len(classes):
        reason = f"{len(names)} classes, the model has {len(classes)}"
    else:
        number = next(
            i for i, pair in enumerate(zip(names, classes, strict=True)) if pair[0] != pair[1]
        )
        reason = f"class {number} is '{names[number]}', for the model it is '{classes[number]}'"
    raise PspError(
        f"{split.folder}: shards of {split.card.name} do not fit {owner}: {reason}. "
        "Give the shards of its own data set with --data"
    )

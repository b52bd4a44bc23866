"""Predicting the samples of a split and counting the confusion matrix.

Both the validation during training and psp evaluate use this.
"""

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
from psp.device import picture_fits
from psp.errors import PspError
from psp.images.reading import ignore_warnings
from psp.model.inference import SlidingWindow
from psp.model.procedure import Procedure
from psp.workers import cores, prefetch_map

THREADS = 4  # that decode pictures; fewer on a machine with fewer cores


def score_split(
    model: SlidingWindow,
    split: ShardSplit,
    procedure: Procedure,
    report: Callable[[int], None] = lambda done: None,
    indices: Sequence[int] | None = None,
    watch: Callable[["PredictedSample"], None] = lambda sample: None,
) -> NDArray[np.int64]:
    """Predict every picture of a split, or those of `indices`; return the confusion matrix.

    int64 (classes, classes): [t, p] = pixels of true class t that were predicted as class p.
    `report` gets the number of pictures done, `watch` each prediction before.
    """
    chosen = range(len(split)) if indices is None else indices
    classes = model.classes
    total = torch.zeros((classes, classes), dtype=torch.int64, device=model.device)
    with closing(predict_samples(model, split, procedure, chosen)) as samples:
        for done, sample in enumerate(samples, start=1):
            total += sample.confusion(classes)
            watch(sample)
            report(done)
    confusion: NDArray[np.int64] = total.cpu().numpy()
    return confusion


@dataclass(frozen=True)
class PredictedSample:
    """A sample of a split with the model's label map, both uint8 (H, W) class ids."""

    index: int  # in the split
    where: str  # shards and name, for error messages
    prediction: Tensor  # on the model's device
    target: NDArray[np.uint8] | None  # on the host; None if the split has no labels

    def confusion(self, classes: int) -> Tensor:
        """Return its confusion matrix on the device, int64 (classes, classes).

        Raises PspError for labels that do not fit the picture or the classes.
        """
        assert self.target is not None
        if self.target.shape != tuple(self.prediction.shape):
            raise PspError(f"{self.where}: the label has another size than the picture. {REMAKE}")
        target = torch.from_numpy(self.target).to(self.prediction.device)
        try:
            return count(target, self.prediction, classes)
        except ValueError as error:
            raise PspError(f"{self.where}: its label has {error}. {REMAKE}") from None


def predict_samples(
    model: SlidingWindow, split: ShardSplit, procedure: Procedure, indices: Iterable[int]
) -> Generator[PredictedSample, None, None]:
    """Yield the model's predictions of samples, while threads decode the next ones.

    Raises PspError for a picture that needs more memory than there is.
    """

    def decoded(index: int) -> tuple[int, NDArray[np.uint8], NDArray[np.uint8] | None]:
        return index, split.image(index), split.label(index) if split.labeled else None

    with (
        ignore_warnings(),
        closing(prefetch_map(decoded, indices, min(THREADS, cores()))) as samples,
    ):
        for index, image, target in samples:
            where = f"{split.folder}: sample '{split.names[index]}'"
            height, width = image.shape[:2]
            with picture_fits(where, (height, width), procedure.windows_text, model.device):
                prediction = model.label_map(image, procedure)
            yield PredictedSample(index, where, prediction, target)


def count(target: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Count pixels of each pair of classes in two uint8 (H, W) maps on the same device.

    Returns int64 (classes, classes): [t, p] = pixels of true class t that were predicted as class
    p. Void pixels are left out. Raises ValueError for a class out of range, which is never merged
    into another class or dropped.
    """
    scored = target != IGNORE
    pairs = torch.stack([target[scored], prediction[scored]]).long()  # (2, n)
    if pairs.numel() and int(pairs.max()) >= classes:
        raise ValueError(f"a class outside 0..{classes - 1}: {int(pairs.max())}")
    counts = torch.bincount(pairs[0] * classes + pairs[1], minlength=classes * classes)
    return counts.view(classes, classes)


def check_labeled(split: ShardSplit) -> None:
    """Raise PspError for a split without labels, such as a leaderboard's test set."""
    if not split.labeled:
        raise PspError(
            f"{split.folder}: split '{split.split}' has no labels to compare with. To write label "
            "files for its leaderboard: psp evaluate --save-labels DIR"
        )


def check_classes(
    split: ShardSplit, classes: tuple[str, ...], owner: str, option: str = "--data"
) -> None:
    """Raise PspError unless the shards, named by an option, have these classes in this order."""
    names = split.card.names
    if names == classes:
        return
    if len(names) != len(classes):
        reason = f"{len(names)} classes, the model has {len(classes)}"
    else:
        index = next(i for i, name in enumerate(names) if name != classes[i])
        reason = f"class {index} is '{names[index]}', for the model it is '{classes[index]}'"
    raise PspError(
        f"{split.folder}: shards of {split.card.name} do not fit {owner}: {reason}. "
        f"Name shards of the data set it was trained on: {option} SHARDS"
    )

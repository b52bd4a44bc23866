"""Counting a split's confusion matrix: what validation and evaluation share."""

from collections.abc import Callable

import torch
from torch import Tensor

from psp.cards import IGNORE
from psp.errors import PspError
from psp.infer import Protocol, Segmenter
from psp.metrics import Confusion
from psp.shards import ShardSplit


def score_split(
    model: Segmenter,
    split: ShardSplit,
    protocol: Protocol,
    report: Callable[[int], None] = lambda done: None,
) -> Confusion:
    """Parse every picture of a split and count; `report` gets the number of pictures done."""
    confusion = Confusion(model.classes)
    for index in range(len(split)):
        guess = model.label_map(split.image(index), protocol)
        truth = torch.from_numpy(split.label(index)).to(model.device)
        confusion.add(count(truth, guess, model.classes).cpu().numpy())
        report(index + 1)
    return confusion


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
            "psp predict parses its pictures"
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

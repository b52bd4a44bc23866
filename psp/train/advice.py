"""What is said before the first step: how to repeat the run, and what its pictures may lack."""

import shlex

from psp.data.card import Card
from psp.data.shards import ShardSplit
from psp.settings.config import SETTINGS, TrainConfig
from psp.settings.section import show
from psp.settings.sources import resolve

OPTIONS = ("init", "backbone", "crop", "batch", "steps", "lr", "seed", "workers")  # of psp train
FOUND = (
    "backbone",
    "crop",
    "batch",
    "accumulate",
    "steps",
    "lr",
    "eval_every",
)  # that psp may find
RARE = 0.01  # of the labeled pixels
FEW = 10  # pictures to train on
NAMED = 5  # classes that a remark names


def repeat_command(data: ShardSplit, config: TrainConfig, device: str) -> str:
    """Return the command that trains with exactly these settings, whatever it is run on."""
    usual = resolve(data.card.recipe, {}, "default").flat()
    values = config.flat()
    found = () if data.card.recipe else FOUND
    words = ["psp", "train", str(data.folder), "--device", device]
    for name in SETTINGS:
        if name == "hours" or (values[name] == usual[name] and name not in found):
            continue
        text = show(values[name])
        if name in OPTIONS:
            words += [f"--{name}", text]
        else:
            words += ["--set", f"{name}={text}"]
    return shlex.join(words)


def advice(data: ShardSplit, config: TrainConfig) -> list[str]:
    """Return remarks on the training pictures: too few, classes without pixels, rare classes.

    Rare classes are left to data sets without a recipe of their own: a recipe has decided.
    """
    remarks = []
    if len(data) < FEW and config.data.limit is None:
        remarks.append(
            f"{_count(len(data), 'picture')} to train on: what is learned from so few holds for "
            "pictures like these only"
        )
    card, pixels = data.card, data.class_pixels[:-1]
    shares = pixels / max(1, pixels.sum())
    absent = [name for name, count in zip(card.names, pixels, strict=True) if count == 0]
    own = not card.recipe and not card.recipes
    if absent and own:
        remarks.append(
            f"{_named(absent)} on no picture of split '{data.split}': not to be learned from it"
        )
    rare = [
        f"{name} {100 * share:.2g}%"
        for name, share in zip(card.names, shares, strict=True)
        if 0 < share < RARE
    ]
    if rare and own and config.loss.class_weights == "none":
        remarks.append(
            f"rare among the labeled pixels: {_named(rare)}. If they matter as much as the others, "
            "give rare classes more weight with: --set class_weights=median"
        )
    return remarks


def one_class(card: Card) -> str:
    """Return why a single class cannot be trained, and what to do."""
    return (
        f"the card has one class only, '{card.names[0]}': every pixel would be of it. Give what is "
        "not of this class one of its own, such as background, instead of ignoring it, and make "
        "the shards again"
    )


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

"""A card: what a data set is.

Its classes (name, color, raw label values), which raw values are ignored, its splits with the
counts the official set must give, where it comes from and on what terms, and its training recipes.
Cards are TOML files (`cardfile.py` reads them); they travel inside the shards and the weights.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from psp.errors import PspError, nearest

IGNORE = 255  # the label of pixels that belong to no class; also why a card has 255 classes at most


@dataclass(frozen=True)
class ClassEntry:
    """A class: its name, its color (R, G, B in 0..255) and the raw label values that mean it.

    Where a card's labels are colors, a raw value is 65536 R + 256 G + B.
    """

    name: str
    color: tuple[int, int, int]
    raw: tuple[int, ...]


@dataclass(frozen=True)
class SplitEntry:
    """A split: how many images the official set has in it, and which they are.

    They are those in a folder named like the split, those in the file `list`, or a `fraction` of
    all. A split that is not `required` may be missing from a download; one without `labels` is a
    leaderboard's test set, which can only be predicted.
    """

    name: str
    images: int | None = None
    list: str | None = None
    fraction: float | None = None
    labels: bool = True
    required: bool = True


@dataclass(frozen=True)
class Origin:
    """Where a data set comes from: addresses, how to unpack, download size, terms, citation."""

    address: tuple[str, ...]
    how: str = ""
    size: str = ""
    terms: str = ""
    citation: str = ""


@dataclass(frozen=True)
class Folders:
    """Where the layout `folders` finds images and masks below the raw folder.

    `{split}` in a path stands for the split's name. A mask belongs to the image whose path below
    its folder is the same, once suffix and file type are taken off both. `seed` decides which
    pictures a split's fraction takes.
    """

    images: str
    masks: str
    image_suffix: str = ""
    mask_suffix: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Card:
    """A data set. The class with id i is `classes[i]`."""

    name: str
    title: str
    layout: str
    classes: tuple[ClassEntry, ...]
    ignore_from: tuple[int, ...]
    splits: tuple[SplitEntry, ...]
    labels: str = "values"  # what label pictures hold: values, or colors
    drop: tuple[str, ...] = ()  # pictures that are left out
    origin: Origin | None = None
    folders: Folders | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recipe_name: str = "default"  # what the first recipe is called: "paper" where it is the paper's
    sources: Mapping[str, str] = field(default_factory=dict)  # of each recipe: whose numbers

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """One (R, G, B) a class, in id order."""
        return tuple(entry.color for entry in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The class names, in id order."""
        return tuple(entry.name for entry in self.classes)

    def raw_to_id(self) -> dict[int, int]:
        """Map every raw label value that the card knows to a class id, or to 255 for ignored."""
        mapping = dict.fromkeys(self.ignore_from, IGNORE)
        for number, entry in enumerate(self.classes):
            mapping.update(dict.fromkeys(entry.raw, number))
        return mapping

    def recipe_named(self, name: str | None) -> Mapping[str, Any]:
        """Return the card's recipe, or a named one laid over it; PspError if there is none."""
        if name in (None, "default", self.recipe_name):
            return self.recipe
        if name not in self.recipes:
            known = [self.recipe_name, *self.recipes]
            raise PspError(
                f"card {self.name} has no recipe '{name}' (it has: {', '.join(known)})."
                f"{nearest(name or '', known)}"
            )
        return {**self.recipe, **self.recipes[name]}

    def to_json(self) -> str:
        """Return the card as one line of JSON; `card_from_json` is its inverse."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)


def card_from_json(text: str) -> Card:
    """Rebuild a card that `Card.to_json` wrote."""
    return card_from_dict(json.loads(text))


def card_from_dict(found: Mapping[str, Any]) -> Card:
    """Rebuild a card from what its JSON holds."""
    value = dict(found)
    value["classes"] = tuple(
        ClassEntry(entry["name"], tuple(entry["color"]), tuple(entry["raw"]))
        for entry in value["classes"]
    )
    value["splits"] = tuple(SplitEntry(**entry) for entry in value["splits"])
    for key in ("ignore_from", "drop"):
        value[key] = tuple(value[key])
    if value["origin"] is not None:
        origin = value["origin"]
        value["origin"] = Origin(**{**origin, "address": tuple(origin["address"])})
    if value["folders"] is not None:
        value["folders"] = Folders(**value["folders"])
    return Card(**value)

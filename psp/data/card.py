"""A card: the description of a data set.

Its classes (name, color, raw label values), the raw values to ignore, its splits with the number of
images of the official set, where it comes from and under what terms, and its training recipes.
Cards are TOML files, read by `cardfile.py`; a copy is stored as JSON in the shards.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from psp.errors import PspError, nearest

IGNORE = 255  # the label of pixels that are not scored; hence a card has at most 255 classes
LATER = (
    "leaderboard",
    "class_order",
    "exports",
)  # keys that cards in shards of psp 0.1.0 do not have


@dataclass(frozen=True)
class ClassEntry:
    """A class: its name, its color (R, G, B in 0..255) and the raw label values that stand for it.

    If the card's labels are colors, a raw value is 65536 R + 256 G + B.
    """

    name: str
    color: tuple[int, int, int]
    raw: tuple[int, ...]


@dataclass(frozen=True)
class SplitEntry:
    """A split: which images it has, and how many of them the official set has.

    The images are those in a folder with the split's name, those listed in the file `list`, or a
    `fraction` of all. A split that is not `required` may be missing from a download; one without
    `labels` is a leaderboard's test set, which can only be predicted.
    """

    name: str
    images: int | None = None
    list: str | None = None
    fraction: float | None = None
    labels: bool = True
    required: bool = True


@dataclass(frozen=True)
class Origin:
    """Where a data set comes from: URLs, how to unpack it, download size, terms, citation."""

    address: tuple[str, ...]
    how: str = ""
    size: str = ""
    terms: str = ""
    citation: str = ""


@dataclass(frozen=True)
class Folders:
    """Where the layout `folders` finds images and masks below the raw folder.

    `{split}` in a path stands for the split's name. An image and a mask belong together if their
    paths below these folders are the same without suffix and file type. `seed` decides which
    pictures go into a split that is given as a fraction.
    """

    images: str
    masks: str
    image_suffix: str = ""
    mask_suffix: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Exports:
    """What the layout `annotated` reads: own photos with masks, or exports of labeling tools.

    `sources`, `images` and `video` are paths as the card has them, relative to its file; `format`
    names a format where several fit, and `masks` the masks where there are two kinds. `twice` is
    whose labels count of a picture that two exports label: "first", "last", or "" for neither.
    `labels` maps each class name that the exports use to a class id, or to 255 for what is not
    trained on. `undrawn` is the id of pixels that no shape covers. Pictures without any shape are
    left out, unless `empty` is set. `order` is that of painting, of annotations/records.py.
    `val_fraction` of the groups of pictures that belong together are for validation, where the
    exports have no splits; `group_by` is "auto", "none" or a regular expression. Longer pictures
    than `max_side` pixels are shrunk to it.
    """

    sources: tuple[str, ...]
    labels: Mapping[str, int]
    images: str = ""
    video: str = ""
    format: str = ""
    masks: str = ""
    twice: str = ""
    undrawn: int = IGNORE
    empty: bool = False
    order: str = "file-order"
    val_fraction: float = 0.15
    group_by: str = "auto"
    seed: int = 0
    max_side: int | None = None


@dataclass(frozen=True)
class LeaderboardFiles:
    """What the label files for a benchmark's server look like.

    `path` is a file's path below the folder that is uploaded; `{split}` and `{name}` stand for the
    split and the picture. `kind` is "gray" (raw values), "palette" (class ids, with the card's
    colors) or "colors" (raw colors); "" is gray or colors as the card's labels are. If
    `official_ids` is set, only cards whose class ids are the raw values can be used.
    """

    path: str = "{name}.png"
    kind: str = ""
    official_ids: bool = False


@dataclass(frozen=True)
class Card:
    """A data set. `classes[i]` is the class with id i."""

    name: str
    title: str
    layout: str
    classes: tuple[ClassEntry, ...]
    ignore_from: tuple[int, ...]
    splits: tuple[SplitEntry, ...]
    labels: str = "values"  # what the pixels of a label file are: "values", "colors" or "names"
    drop: tuple[str, ...] = ()  # names of pictures to leave out
    origin: Origin | None = None
    folders: Folders | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recipe_name: str = "default"  # name of `recipe`: "paper" if its numbers are the paper's
    sources: Mapping[str, str] = field(default_factory=dict)  # recipe name: where it comes from
    leaderboard: LeaderboardFiles | None = None
    # The order of classes in other programs' networks of this data set: importer → "alphabetical".
    class_order: Mapping[str, str] = field(default_factory=dict)
    exports: Exports | None = None

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """The (R, G, B) of each class, in id order."""
        return tuple(entry.color for entry in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The class names, in id order."""
        return tuple(entry.name for entry in self.classes)

    def raw_to_id(self) -> dict[int, int]:
        """Map each raw label value of the card to its class id, or to 255 if it is ignored."""
        mapping = dict.fromkeys(self.ignore_from, IGNORE)
        for index, entry in enumerate(self.classes):
            mapping.update(dict.fromkeys(entry.raw, index))
        return mapping

    def recipe_named(self, name: str | None) -> Mapping[str, Any]:
        """Return the card's recipe, or a named one merged over it. Raises PspError if unknown."""
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
        """Return the card as one line of JSON, for `card_from_json`.

        Keys of LATER are left out if they are not set, so that such a card has the same JSON as
        before there were these keys, and psp prepare still recognizes shards made then.
        """
        value = asdict(self)
        for key in LATER:
            if not value[key]:
                del value[key]
        return json.dumps(value, sort_keys=True, ensure_ascii=False)

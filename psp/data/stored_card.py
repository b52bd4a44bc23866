"""Cards as they are stored in shards and manifests: JSON, which a stranger may have written."""

from dataclasses import fields
from functools import lru_cache
from typing import Any

from psp.data.card import (
    IGNORE,
    Card,
    ClassEntry,
    Exports,
    Folders,
    LeaderboardFiles,
    Origin,
    SplitEntry,
)
from psp.errors import PspError
from psp.headers import LARGEST, Fields, parse
from psp.name_rules import DATA_SET_RULE, SPLIT_RULE, is_below, is_data_set, is_split

LARGEST_COLOR = 0xFFFFFF  # a raw value that is a color; of others, 65,535


def card_from_json(text: str | bytes, where: str = "card") -> Card:
    """Rebuild a card from the text of `Card.to_json`. Raises as `card_from_dict`."""
    try:
        return _known(text)
    except PspError:
        return card_from_dict(parse(text, where), where)  # whose error names the file


@lru_cache(maxsize=8)  # all shards of a set have the same; the largest takes some milliseconds
def _known(text: str | bytes) -> Card:
    return card_from_dict(parse(text, "card"))


def card_from_dict(stored: Any, where: str = "card") -> Card:
    """Rebuild a card from the JSON object of `Card.to_json`, which is in the file `where`.

    Raises NewerError for an unknown key, and DamagedError for a missing key or a value that no card
    has. Keys with a default may be missing: an older psp did not write them.
    """
    value = _fields_of(Card, Fields(stored, where, after=" in its card"))
    name = value.text("name")
    if not is_data_set(name):
        raise value.error("name", DATA_SET_RULE)
    classes = tuple(_class_from(item) for item in value.objects("classes"))
    if not 1 <= len(classes) <= IGNORE:
        raise value.error("classes", f"must be 1 to {IGNORE} classes")
    if len({entry.name for entry in classes}) < len(classes):
        raise value.error("classes", "must be classes of different names")
    splits = tuple(_split_from(item) for item in value.objects("splits"))
    if len({split.name for split in splits}) < len(splits):
        raise value.error("splits", "must be splits of different names")
    for key in ("sources", "class_order"):
        table = value.object(key, {})
        for other in table.value:
            table.text(other)
    recipes = value.object("recipes", {})
    origin = None if value.get("origin") is None else _origin_from(value.object("origin"))
    folders = None if value.get("folders") is None else _folders_from(value.object("folders"))
    return Card(
        name=name,
        title=value.text("title"),
        layout=value.text("layout"),
        classes=classes,
        ignore_from=value.wholes("ignore_from", high=LARGEST_COLOR),
        splits=splits,
        labels=value.choice("labels", ("values", "colors", "names"), "values"),
        drop=value.texts("drop"),
        origin=origin,
        folders=folders,
        recipe=value.object("recipe", {}).value,
        recipes={key: recipes.object(key).value for key in recipes.value},
        recipe_name=value.text("recipe_name", "default"),
        sources=value.get("sources", {}),
        leaderboard=_leaderboard_from(value),
        class_order=value.get("class_order", {}),
        exports=_exports_from(value),
    )


def _fields_of(kind: type[Any], value: Fields) -> Fields:
    """Return the fields if all of them are of the dataclass `kind`."""
    return value.only({entry.name for entry in fields(kind)})


def _class_from(value: Fields) -> ClassEntry:
    _fields_of(ClassEntry, value)
    red, green, blue = value.wholes("color", high=255, count=3)
    name = value.text("name", empty=False)
    return ClassEntry(name, (red, green, blue), value.wholes("raw", high=LARGEST_COLOR))


def _split_from(value: Fields) -> SplitEntry:
    _fields_of(SplitEntry, value)
    if not is_split(value.text("name")):
        raise value.error("name", SPLIT_RULE)
    return SplitEntry(
        name=value.text("name"),
        images=value.whole("images", default=None),
        list=value.text("list", None) if value.get("list", None) is not None else None,
        fraction=value.number("fraction", 0, 1, default=None),
        labels=value.flag("labels", True),
        required=value.flag("required", True),
    )


def _origin_from(value: Fields) -> Origin:
    _fields_of(Origin, value)
    texts = {key: value.text(key, "") for key in ("how", "size", "terms", "citation")}
    return Origin(address=value.texts("address"), **texts)


def _folders_from(value: Fields) -> Folders:
    _fields_of(Folders, value)
    return Folders(
        images=value.text("images"),
        masks=value.text("masks"),
        image_suffix=value.text("image_suffix", ""),
        mask_suffix=value.text("mask_suffix", ""),
        seed=value.whole("seed", low=-LARGEST, default=0),
    )


def _leaderboard_from(card: Fields) -> LeaderboardFiles | None:
    if card.get("leaderboard", None) is None:
        return None
    value = _fields_of(LeaderboardFiles, card.object("leaderboard"))
    files = LeaderboardFiles(
        path=value.text("path", "{name}.png"),
        kind=value.choice("kind", ("", "gray", "palette", "colors"), ""),
        official_ids=value.flag("official_ids", False),
    )
    if fault := leaderboard_fault(files.path):
        raise value.error("path", fault)
    return files


def _exports_from(card: Fields) -> Exports | None:
    if card.get("exports", None) is None:
        return None
    value = _fields_of(Exports, card.object("exports"))
    labels = value.object("labels")
    texts = {key: value.text(key, "") for key in ("images", "video", "format")}
    return Exports(
        sources=value.texts("sources"),
        labels={name: labels.whole(name, 0, IGNORE) for name in labels.value},
        undrawn=value.whole("undrawn", 0, IGNORE, default=IGNORE),
        empty=value.flag("empty", False),
        order=value.text("order", "file-order"),
        val_fraction=value.number("val_fraction", 0, 1, default=0.15),
        group_by=value.text("group_by", "auto"),
        seed=value.whole("seed", -LARGEST, default=0),
        max_side=value.whole("max_side", 1, default=None),
        **texts,
    )


def leaderboard_fault(path: str) -> str | None:
    """Return what is wrong with where a leaderboard's files are to be, or None."""
    if not is_below(path) or not path.endswith("{name}.png"):
        return "must be a path below a folder, ending in {name}.png"
    if set(path.replace("{split}", "").replace("{name}", "")) & {"{", "}"}:
        return "may have {split} and {name}, but no other braces"
    return None

"""Check the values of a card's TOML file, and make a Card of them."""

import re
from collections.abc import Mapping
from pathlib import Path
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
from psp.data.cardexports import KEYS as EXPORTS_KEYS
from psp.data.cardexports import read_exports
from psp.data.colors import with_made_colors
from psp.data.stored_card import leaderboard_fault
from psp.errors import PspError, nearest
from psp.headers import LARGEST, is_label, is_number, shown
from psp.name_rules import DATA_SET_RULE, SPLIT_RULE, is_below, is_data_set, is_split
from psp.settings.sources import resolve

LARGEST_RAW = 65_535  # labels on disk have 8 or 16 bits
CLASS_ORDERS = ("alphabetical",)
TYPE_NAMES = {
    str: "a string",
    list: "a list",
    dict: "a table",
    int: "an integer",
    float: "a number",
    bool: "true or false",
}


class CardReader:
    """Turns the values of a TOML file into a Card; errors start with the file's path."""

    def __init__(self, path: Path) -> None:
        self.where = f"card {path}"
        self.colors = False  # whether labels are colors, so that 'from' lists colors
        self.names = False  # whether labels are names of classes, so that 'from' lists names

    def fail(self, message: str) -> PspError:
        return PspError(f"{self.where}: {message}")

    def card(self, value: dict[str, Any]) -> Card:
        needed = {"name": str, "layout": str, "classes": list, "splits": dict}
        optional = {
            "title": str,
            "ignore_from": list,
            "labels": str,
            "drop": list,
            "origin": dict,
            "folders": dict,
            "recipe": dict,
            "recipes": dict,
            "leaderboard": dict,
            "class_order": dict,
            "exports": dict,
        }
        self.keys(value, needed, optional, "")
        if not is_data_set(value["name"]):
            raise self.fail(f"name {shown(value['name'])} {DATA_SET_RULE}.")
        labels = value.get("labels", "values")
        if labels not in ("values", "colors", "names"):
            raise self.fail(f"labels '{labels}' must be 'values', 'colors' or 'names'.")
        self.colors, self.names = labels == "colors", labels == "names"
        if "exports" in value and not self.names:
            raise self.fail("[exports] needs labels = 'names'.")
        items = value["classes"]
        if not self.colors:  # there, a color says which pixels are meant
            items = with_made_colors(items, self.color)
        classes = tuple(self.entry(item, index) for index, item in enumerate(items))
        exports = self.exports(value, items, classes)
        ignored = value.get("ignore_from", [])
        ignored = () if self.names else self.raw_values(ignored, "ignore_from")
        self.check_unique(classes, ignored)
        splits = tuple(self.split(name, item) for name, item in value["splits"].items())
        if not splits:
            raise self.fail("[splits] is empty: it needs at least 'train' and 'val'.")
        folders = self.folders(value.get("folders"), splits)
        name, recipes, sources = self.recipes(value)
        return Card(
            name=value["name"],
            title=value.get("title", value["name"]),
            layout=value["layout"],
            classes=classes,
            ignore_from=ignored,
            splits=splits,
            labels=labels,
            drop=self.texts(value.get("drop", []), "drop"),
            origin=self.origin(value),
            folders=folders,
            recipe=recipes.pop(name),
            recipes=recipes,
            recipe_name=name,
            sources=sources,
            leaderboard=self.leaderboard(value.get("leaderboard")),
            class_order=self.class_order(value.get("class_order", {})),
            exports=exports,
        )

    def exports(
        self, value: dict[str, Any], items: list[Any], classes: tuple[ClassEntry, ...]
    ) -> Exports | None:
        """Return the table [exports]; the names in 'from' say what its labels mean."""
        if "exports" not in value:
            if self.names:
                raise self.fail("labels 'names' are those of a table [exports]. Add it.")
            return None
        self.keys(value["exports"], {"sources": list}, EXPORTS_KEYS, "exports: ")
        ignored = self.texts(value.get("ignore_from", []), "ignore_from")
        meant = [
            self.texts(item.get("from", [item["name"]]), f"class {index}: from")
            for index, item in enumerate(items)
        ]
        names = [entry.name for entry in classes]
        return read_exports(value["exports"], names, meant, ignored, self.fail)

    def entry(self, item: Any, index: int) -> ClassEntry:
        if not isinstance(item, dict):
            raise self.fail(f"class {index} must be a table with name, color and from.")
        where = f"class {index} '{item.get('name', '?')}': "
        needed: dict[str, type] = {"name": str, "color": str}
        source: dict[str, type] = {"from": list}
        # If labels are colors or names, 'from' is optional: by default the class's own.
        free = self.colors or self.names
        self.keys(item, needed if free else needed | source, source if free else {}, where)
        if not is_label(item["name"]):
            raise self.fail(f"class {index}: 'name' must be a text without control characters.")
        packed = self.color(item["color"], f"{where}color")
        raw: tuple[int, ...] = (packed,) if self.colors else (index,)
        if "from" in item and not self.names:
            raw = self.raw_values(item["from"], f"{where}from")
        return ClassEntry(item["name"], (packed >> 16, packed >> 8 & 255, packed & 255), raw)

    def color(self, text: Any, where: str) -> int:
        if not isinstance(text, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
            raise self.fail(f"{where} '{text}' must look like '#80ff00'.")
        return int(text[1:], 16)

    def split(self, name: str, item: Any) -> SplitEntry:
        where = f"split '{name}': "
        if not isinstance(item, dict):
            raise self.fail(f"{where}must be a table such as {{ images = 200 }}.")
        known = {"images": int, "list": str, "fraction": float, "labels": bool, "required": bool}
        self.keys(item, {}, known, where)
        if not is_split(name):
            raise self.fail(f"{where}a split's name {SPLIT_RULE}.")
        if item.get("images", 0) < 0:
            raise self.fail(f"{where}'images' must not be negative.")
        if not 0 < item.get("fraction", 1) <= 1:
            raise self.fail(f"{where}'fraction' must be above 0 and at most 1.")
        if not is_below(item.get("list", "list")):
            raise self.fail(f"{where}'list' must be a path below the data set's folder.")
        if "fraction" in item and "list" in item:
            raise self.fail(f"{where}give 'list' or 'fraction', not both.")
        return SplitEntry(name=name, **item)

    def origin(self, value: dict[str, Any]) -> Origin | None:
        if "origin" not in value:
            return None
        texts: dict[str, type] = dict.fromkeys(("how", "size", "terms", "citation"), str)
        self.keys(value["origin"], {"address": list}, texts, "origin: ")
        address = self.texts(value["origin"]["address"], "origin: address")
        return Origin(**{**value["origin"], "address": address})

    def folders(
        self, table: dict[str, Any] | None, splits: tuple[SplitEntry, ...]
    ) -> Folders | None:
        """Return the table [folders]; check that it says for every split which pictures it has."""
        fractions = [split for split in splits if split.fraction is not None]
        if table is None:
            if fractions:
                raise self.fail(
                    f"split '{fractions[0].name}': 'fraction' divides the pictures of a table "
                    "[folders], and there is none. Add it, or leave out 'fraction'."
                )
            return None
        optional = {"image_suffix": str, "mask_suffix": str, "seed": int}
        self.keys(table, {"images": str, "masks": str}, optional, "folders: ")
        for key in ("images", "masks"):
            if table[key].startswith("/") or ".." in Path(table[key]).parts:
                raise self.fail(f"folders: '{key}' must be a path below the raw folder.")
            if "{" in table[key].replace("{split}", ""):
                raise self.fail(f"folders: '{key}' may have {{split}} in it, but no other braces.")
        if "{split}" not in table["images"]:
            for split in splits:
                if split.list is None and split.fraction is None:
                    raise self.fail(
                        f"split '{split.name}': give it a 'list' or a 'fraction', or use {{split}} "
                        "in the paths of [folders]."
                    )
        elif fractions:
            raise self.fail(
                f"split '{fractions[0].name}': 'fraction' divides one folder, but with {{split}} "
                "in [folders] each split has its own. Leave out one of the two."
            )
        if sum(split.fraction or 0 for split in splits) > 1 + 1e-9:
            raise self.fail("the fractions of the splits add up to more than 1.")
        return Folders(**table)

    def leaderboard(self, table: dict[str, Any] | None) -> LeaderboardFiles | None:
        if table is None:
            return None
        where = "leaderboard: "
        self.keys(table, {}, {"path": str, "kind": str, "official_ids": bool}, where)
        leaderboard = LeaderboardFiles(**table)
        kind = leaderboard.kind
        if fault := leaderboard_fault(leaderboard.path):
            raise self.fail(f"{where}'path' {fault}.")
        kinds = ("colors",) if self.colors else ("gray", "palette")
        if kind and kind not in kinds:
            raise self.fail(f"{where}kind '{kind}' must be {' or '.join(map(repr, kinds))}.")
        if kind == "palette" and not leaderboard.official_ids:
            raise self.fail(
                f"{where}kind 'palette' needs official_ids = true: these files hold class ids."
            )
        return leaderboard

    def class_order(self, table: dict[str, Any]) -> dict[str, str]:
        for importer, order in table.items():
            if order not in CLASS_ORDERS:
                raise self.fail(f"class_order: '{importer}' must be {' or '.join(CLASS_ORDERS)}.")
        return dict(table)

    def recipes(
        self, value: dict[str, Any]
    ) -> tuple[str, dict[str, dict[str, Any]], dict[str, str]]:
        """Return the name of [recipe], all recipes by name, and the source of each."""
        first, others = value.get("recipe", {}), value.get("recipes", {})
        name = first.get("name", "default")
        if not isinstance(name, str) or not name:
            raise self.fail("recipe: 'name' must be a string.")
        recipes: dict[str, dict[str, Any]] = {}
        sources = {}
        for title, table in [(name, first), *others.items()]:
            where = "recipe" if table is first else f"recipes.{title}"
            if not isinstance(table, dict):
                raise self.fail(f"{where} must be a table of settings.")
            if title in recipes or (table is not first and title in ("default", "recipe")):
                raise self.fail(f"{where}: this name is taken by [recipe]. Choose another.")
            source = table.get("source", "")
            if not isinstance(source, str):
                raise self.fail(f"{where}: 'source' must be a string.")
            other = ("name", "source") if table is first else ("source",)
            recipes[title] = {key: item for key, item in table.items() if key not in other}
            sources[title] = source
            try:
                resolve({**recipes[name], **recipes[title]}, {}, title)
            except PspError as error:
                raise self.fail(str(error)) from None
        return name, recipes, sources

    def keys(
        self,
        value: dict[str, Any],
        needed: Mapping[str, type],
        optional: Mapping[str, type],
        where: str,
    ) -> None:
        known = {**needed, **optional}
        for key, item in value.items():
            if key not in known:
                raise self.fail(f"{where}unknown key '{key}'.{nearest(key, known)}")
            kind = known[key]
            fits = (float, int) if kind is float else kind
            if not isinstance(item, fits) or (isinstance(item, bool) and kind is not bool):
                raise self.fail(f"{where}'{key}' must be {TYPE_NAMES[kind]}.")
            if kind in (int, float) and not is_number(item, -LARGEST, LARGEST):
                raise self.fail(f"{where}'{key}' must be a number of ordinary size.")
        for key in needed:
            if key not in value:
                raise self.fail(f"{where}'{key}' is missing.")

    def texts(self, values: list[Any], where: str) -> tuple[str, ...]:
        for value in values:
            if not isinstance(value, str):
                raise self.fail(f"{where}: {value!r} is not a string.")
        return tuple(values)

    def raw_values(self, values: list[Any], where: str) -> tuple[int, ...]:
        if self.colors:
            return tuple(self.color(value, f"{where}:") for value in values)
        for value in values:
            if type(value) is not int or not 0 <= value <= LARGEST_RAW:
                raise self.fail(
                    f"{where}: {value!r} is not a raw label value (0 to {LARGEST_RAW})."
                )
        return tuple(values)

    def check_unique(self, classes: tuple[ClassEntry, ...], ignored: tuple[int, ...]) -> None:
        if not 1 <= len(classes) <= IGNORE:
            raise self.fail(
                f"{len(classes)} classes: must be 1 to {IGNORE} (ids have 8 bits, 255 is ignore)."
            )
        names: dict[str, int] = {}
        colors: dict[tuple[int, int, int], str] = {}
        raws = dict.fromkeys(ignored, "ignore_from")
        if len(raws) < len(ignored):
            raise self.fail("ignore_from: a raw value is listed twice.")
        for index, entry in enumerate(classes):
            where = f"class {index} '{entry.name}'"
            if entry.name in names:
                raise self.fail(
                    f"{where}: key 'name': class {names[entry.name]} has the same name."
                )
            # Of values, a color is only how a class is shown, and official files share some.
            if entry.color in colors and (self.colors or self.names):
                raise self.fail(
                    f"{where}: key 'color': '{colors[entry.color]}' has the same color."
                )
            names[entry.name], colors[entry.color] = index, entry.name
            for raw in entry.raw:
                if raw in raws:
                    shown = f"#{raw:06x}" if self.colors else raw
                    raise self.fail(
                        f"{where}: key 'from': raw value {shown} is also in {raws[raw]}."
                    )
                raws[raw] = f"'{entry.name}'"

"""A card: one TOML file that says what a data set is.

Its classes (name, color, raw label values), which raw values are ignored, its splits with the
counts the official set must give, and its training recipes. Only `prepare` reads cards; from there
they travel inside the shards and the weights. The format is explained in datasets/README.md.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from psp.config import resolve
from psp.errors import PspError, nearest

IGNORE = 255  # the label of pixels that belong to no class; also why a card has 255 classes at most
LARGEST_RAW = 65_535  # labels on disk have 8 or 16 bits


@dataclass(frozen=True)
class ClassEntry:
    """A class: its name, its color (R, G, B in 0..255) and the raw label values that mean it."""

    name: str
    color: tuple[int, int, int]
    raw: tuple[int, ...]


@dataclass(frozen=True)
class SplitEntry:
    """A split: how many images the official set has in it, and its list file where it has one."""

    name: str
    images: int | None = None
    list: str | None = None


@dataclass(frozen=True)
class Card:
    """A data set. The class with id i is `classes[i]`."""

    name: str
    title: str
    layout: str
    classes: tuple[ClassEntry, ...]
    ignore_from: tuple[int, ...]
    splits: tuple[SplitEntry, ...]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

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
        if name is None or name == "default":
            return self.recipe
        if name not in self.recipes:
            known = ", ".join(["default", *self.recipes])
            raise PspError(
                f"card {self.name} has no recipe '{name}' (it has: {known})."
                f"{nearest(name, self.recipes)}"
            )
        return {**self.recipe, **self.recipes[name]}

    def to_json(self) -> str:
        """Return the card as one line of JSON; `card_from_json` is its inverse."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)


def card_from_json(text: str) -> Card:
    """Rebuild a card that `Card.to_json` wrote."""
    value = json.loads(text)
    value["classes"] = tuple(
        ClassEntry(entry["name"], tuple(entry["color"]), tuple(entry["raw"]))
        for entry in value["classes"]
    )
    value["splits"] = tuple(SplitEntry(**entry) for entry in value["splits"])
    value["ignore_from"] = tuple(value["ignore_from"])
    return Card(**value)


def shipped() -> dict[str, Path]:
    """Return the cards that come with psp, by name.

    An installed wheel has them inside the package, a checkout (or an editable install) beside it.
    """
    package = Path(__file__).parent
    for folder in (package / "datasets", package.parent / "datasets"):
        found = {path.stem: path for path in sorted(folder.glob("*.toml"))}
        if found:
            return found
    raise PspError(f"{package}: the cards of the shipped data sets are missing. Install psp again.")


def find_card(name: str) -> Card:
    """Return the shipped card of that name, or the card in that .toml file."""
    if name.endswith(".toml"):
        return read_card(Path(name))
    known = shipped()
    if name not in known:
        raise PspError(
            f"no card is called '{name}'.{nearest(name, known)} "
            f"Known: {', '.join(known)} (see: psp cards), or the path of a .toml file."
        )
    return read_card(known[name])


def read_card(path: Path) -> Card:
    """Read and check a card. Raises PspError that names the card, the class and the key."""
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PspError(f"card {path}: no such file. The shipped ones: psp cards") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PspError(f"card {path}: cannot be read: {error}") from None
    return _Reader(path).card(value)


class _Reader:
    """Turns the values of a TOML file into a Card; every complaint starts with the file's name."""

    def __init__(self, path: Path) -> None:
        self.where = f"card {path}"

    def fail(self, message: str) -> PspError:
        return PspError(f"{self.where}: {message}")

    def card(self, value: dict[str, Any]) -> Card:
        needed = {"name": str, "title": str, "layout": str, "classes": list, "splits": dict}
        optional = {"ignore_from": list, "recipe": dict, "recipes": dict}
        self.keys(value, needed, optional, "")
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value["name"]):
            raise self.fail(f"name '{value['name']}' must be lower-case letters, digits, - and _.")
        classes = tuple(self.entry(item, number) for number, item in enumerate(value["classes"]))
        ignored = self.raw_values(value.get("ignore_from", []), "ignore_from")
        self.no_doubles(classes, ignored)
        splits = tuple(self.split(name, item) for name, item in value["splits"].items())
        if not splits:
            raise self.fail("[splits] is empty; name at least 'train' and 'val'.")
        recipe, recipes = value.get("recipe", {}), value.get("recipes", {})
        for name in ("default", "recipe"):
            if name in recipes:
                raise self.fail(f"recipes.{name}: that name is [recipe]'s own; choose another.")
        for name, settings in {"recipe": recipe, **recipes}.items():
            if not isinstance(settings, dict):
                raise self.fail(f"recipes.{name} must be a table of settings.")
            try:
                resolve({**recipe, **settings}, {}, name)
            except PspError as error:
                raise self.fail(str(error)) from None
        return Card(
            value["name"],
            value["title"],
            value["layout"],
            classes,
            ignored,
            splits,
            recipe,
            recipes,
        )

    def entry(self, item: Any, number: int) -> ClassEntry:
        if not isinstance(item, dict):
            raise self.fail(f"class {number} must be a table with name, color and from.")
        where = f"class {number} '{item.get('name', '?')}': "
        self.keys(item, {"name": str, "color": str, "from": list}, {}, where)
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", item["color"]):
            raise self.fail(f"{where}color '{item['color']}' must look like '#80ff00'.")
        color = bytes.fromhex(item["color"][1:])
        raw = self.raw_values(item["from"], f"{where}from")
        return ClassEntry(item["name"], (color[0], color[1], color[2]), raw)

    def split(self, name: str, item: Any) -> SplitEntry:
        where = f"split '{name}': "
        if not isinstance(item, dict):
            raise self.fail(f"{where}must be a table such as {{ images = 200 }}.")
        self.keys(item, {}, {"images": int, "list": str}, where)
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):
            raise self.fail(f"{where}a split's name is letters, digits and _.")
        if item.get("images", 0) < 0:
            raise self.fail(f"{where}'images' must not be negative.")
        return SplitEntry(name, item.get("images"), item.get("list"))

    def keys(
        self,
        value: dict[str, Any],
        needed: Mapping[str, type],
        optional: Mapping[str, type],
        where: str,
    ) -> None:
        known = {**needed, **optional}
        for key in value:
            if key not in known:
                raise self.fail(f"{where}unknown key '{key}'.{nearest(key, known)}")
            kind = known[key]
            if not isinstance(value[key], kind) or (kind is int and isinstance(value[key], bool)):
                noun = {str: "a text", list: "a list", dict: "a table", int: "a whole number"}[kind]
                raise self.fail(f"{where}'{key}' must be {noun}.")
        for key in needed:
            if key not in value:
                raise self.fail(f"{where}'{key}' is missing.")

    def raw_values(self, values: list[Any], where: str) -> tuple[int, ...]:
        for value in values:
            if type(value) is not int or not 0 <= value <= LARGEST_RAW:
                raise self.fail(f"{where}: {value!r} is no raw label value (0 to {LARGEST_RAW}).")
        return tuple(values)

    def no_doubles(self, classes: tuple[ClassEntry, ...], ignored: tuple[int, ...]) -> None:
        if not 1 <= len(classes) <= IGNORE:
            raise self.fail(
                f"{len(classes)} classes: must be 1 to {IGNORE} (8-bit ids, 255 is ignore)."
            )
        names: dict[str, int] = {}
        colors: dict[tuple[int, int, int], str] = {}
        raws = dict.fromkeys(ignored, "ignore_from")
        if len(raws) < len(ignored):
            raise self.fail("ignore_from: a raw value stands twice.")
        for number, entry in enumerate(classes):
            where = f"class {number} '{entry.name}'"
            if entry.name in names:
                raise self.fail(
                    f"{where}: key 'name': class {names[entry.name]} has the same name."
                )
            if entry.color in colors:
                raise self.fail(
                    f"{where}: key 'color': '{colors[entry.color]}' has the same color."
                )
            names[entry.name], colors[entry.color] = number, entry.name
            for raw in entry.raw:
                if raw in raws:
                    raise self.fail(
                        f"{where}: key 'from': raw value {raw} is taken by {raws[raw]}."
                    )
                raws[raw] = f"'{entry.name}'"

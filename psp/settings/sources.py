"""Settings from recipes and texts: defaults, overlaid by a card's recipe, overlaid by the user's.

An unknown key is refused, with the nearest known one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from psp.errors import PspError, nearest
from psp.settings.config import SETTINGS, TrainConfig, train_config
from psp.settings.run import FREE_ON_RESUME
from psp.settings.section import show
from psp.settings.size import Sides, parse_pair

# What a training finds itself where the card has no recipe: from the shards and from the device.
FOUND = ("backbone", "crop", "batch", "steps")


def settings_from(
    values: Mapping[str, Any], source: str, *, stored: bool = False
) -> dict[str, Any]:
    """Return the checked and typed settings of a recipe, of `--set key=value` texts, or of a file.

    `source` names where they come from, for the error. Raises PspError for a value of the wrong
    type and for an unknown key, which in a file that psp `stored` says that a newer psp wrote it.
    """
    typed = {}
    for key, value in values.items():
        if key not in SETTINGS:
            if stored:
                raise PspError(
                    f"{source}: unknown setting '{key}': written by a newer psp? Upgrade psp."
                )
            raise PspError(f"{source}: there is no setting '{key}'.{nearest(key, SETTINGS)}")
        if key == "batch" and value == "auto":  # the recipe's batch, in parts that fit
            if "accumulate" in values:
                raise PspError(f"{source}: batch=auto finds accumulate; leave one of them out.")
            key, value = "accumulate", None
        typed[key] = _typed(value, SETTINGS[key][0], f"{source}: {key}")
    return typed


def resolve(
    recipe: Mapping[str, Any], overrides: Mapping[str, Any], recipe_name: str
) -> TrainConfig:
    """Return defaults, overlaid by a card's recipe, overlaid by the command line's settings."""
    settings = settings_from(recipe, f"recipe {recipe_name}")
    return train_config(**{**settings, **settings_from(overrides, "--set")})


@dataclass(frozen=True)
class ResolvedSetting:
    """A setting's value and who set it; `given` where it is not the default."""

    name: str
    value: Any
    source: str
    given: bool


def explain(recipe: Mapping[str, Any], recipe_source: str) -> list[ResolvedSetting]:
    """Return every setting of a recipe with its source: the recipe's, or the default's."""
    given = settings_from(recipe, "recipe")
    values = train_config(**given).flat()
    return [
        ResolvedSetting(
            name, values[name], recipe_source if name in given else setting.source, name in given
        )
        for name, (_, setting) in SETTINGS.items()
    ]


def overlay(config: TrainConfig, overrides: Mapping[str, Any]) -> TrainConfig:
    """Return `config` with some settings replaced by the command line's."""
    return config.changed(**settings_from(overrides, "--set"))


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Return "key: old -> new" for each setting that differs and changes what a run computes."""
    before, after = old.flat(), new.flat()
    return [
        f"{key}: {show(before[key])} -> {show(after[key])}"
        for key in before
        if before[key] != after[key] and key not in FREE_ON_RESUME
    ]


def _typed(value: Any, kind: Any, where: str) -> Any:
    """Return a TOML value or a command line's text as the type of a setting."""
    options = get_args(kind)
    if kind == Sides:
        return _sides(value, where)
    if type(None) in options:  # int | None
        return None if value in (None, "auto") else _typed(value, options[0], where)
    if options:  # tuple[int, ...]
        parts = value.split(",") if isinstance(value, str) else value
        if parts in (["none"], [""]):
            return ()
        if not isinstance(parts, (list, tuple)):
            raise PspError(f"{where}={value}: a list of whole numbers, such as 1,2,3,6.")
        return tuple(_typed(part, int, where) for part in parts)
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        raise PspError(f"{where}={value}: true or false.")
    if kind is str:
        if isinstance(value, str):
            return value
        raise PspError(f"{where}={value}: a text.")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise PspError(f"{where}={value}: a number.")
    try:
        if kind is int and isinstance(value, str) and value.strip().isdecimal():
            return int(value)  # exact where a float would round
        number = float(value)
        if kind is int and number != int(number):
            raise ValueError
        return kind(number)
    except (ValueError, OverflowError):
        noun = "a whole number" if kind is int else "a number"
        raise PspError(f"{where}={value}: {noun}.") from None


def _sides(value: Any, where: str) -> Sides:
    """Return the side of a square, also if both are given, or WIDTHxHEIGHT of a rectangle."""
    pair = parse_pair(value) if isinstance(value, str) else None
    if pair is not None:
        return pair.width if pair.width == pair.height else str(pair)
    try:
        side: int = _typed(value, int, where)
    except PspError:
        raise PspError(
            f"{where}={value}: one side, such as 473, or WIDTHxHEIGHT, such as 1001x505."
        ) from None
    return side

"""Settings from recipes and texts: defaults, overlaid by a card's recipe, overlaid by the user's.

A key that is no setting is refused, with the nearest that is.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args, get_type_hints

from psp.errors import PspError, nearest
from psp.settings.config import FREE_ON_RESUME, TrainConfig, show


def settings_from(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the checked and typed settings of a recipe or of `--set key=value` texts.

    `source` names where they come from, for the error. Raises PspError for an unknown key or a
    value of the wrong type.
    """
    kinds = get_type_hints(TrainConfig)
    kinds = {item.name: kinds[item.name] for item in fields(TrainConfig)}
    typed = {}
    for key, value in values.items():
        if key not in kinds:
            raise PspError(f"{source}: '{key}' is no setting.{nearest(key, kinds)}")
        if key == "batch" and value == "auto":  # as large as it is, in parts that fit
            if "accumulate" in values:
                raise PspError(f"{source}: batch=auto finds accumulate; leave one of them out.")
            key, value = "accumulate", None
        typed[key] = _typed(value, kinds[key], f"{source}: {key}")
    return typed


def resolve(
    recipe: Mapping[str, Any], overrides: Mapping[str, Any], recipe_name: str
) -> TrainConfig:
    """Return defaults, overlaid by a card's recipe, overlaid by the command line's settings."""
    settings = settings_from(recipe, f"recipe {recipe_name}")
    return TrainConfig(**{**settings, **settings_from(overrides, "--set")})


@dataclass(frozen=True)
class Setting:
    """A resolved setting and who says so; `given` where it is not the default."""

    name: str
    value: Any
    source: str
    given: bool


def explain(recipe: Mapping[str, Any], recipe_source: str) -> list[Setting]:
    """Return every setting of a recipe with its source: the recipe's, or the default's."""
    given = settings_from(recipe, "recipe")
    config = TrainConfig(**given)
    return [
        Setting(
            item.name,
            getattr(config, item.name),
            recipe_source if item.name in given else item.metadata["source"],
            item.name in given,
        )
        for item in fields(TrainConfig)
    ]


def overlay(config: TrainConfig, overrides: Mapping[str, Any]) -> TrainConfig:
    """Return `config` with some settings replaced by the command line's."""
    return replace(config, **settings_from(overrides, "--set"))


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Return "key: old -> new" for each setting that differs and changes what a run computes."""
    before, after = asdict(old), asdict(new)
    return [
        f"{key}: {show(before[key])} -> {show(after[key])}"
        for key in before
        if before[key] != after[key] and key not in FREE_ON_RESUME
    ]


def _typed(value: Any, kind: Any, where: str) -> Any:
    """Return a TOML value or a command line's text as the type of a setting."""
    options = get_args(kind)
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

"""What a configuration of another program says, as psp's settings."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psp.errors import PspError
from psp.settings.config import SETTINGS
from psp.settings.sources import resolve
from psp.zoo.configs.python_text import UNKNOWN


@dataclass
class ForeignConfig:
    """A configuration: psp's settings by name, and what psp has no counterpart for.

    `card` is the shipped card of the data set that it names, `classes` how many classes its network
    has. `assumed` says what had to be assumed.
    """

    what: str  # in words, such as "a configuration of mmsegmentation"
    name: str  # of the program, which the recipe is called by
    settings: dict[str, Any] = field(default_factory=dict)
    card: str | None = None
    classes: int | None = None
    test_crop: int | None = None  # side of the windows of its test, where that is said
    assumed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def take(self, name: str, value: Any) -> None:
        """Set a setting, unless the configuration says nothing of it; see `take_all`."""
        self.take_all(**{name: value})

    def take_all(self, **values: Any) -> None:
        """Set settings that belong together; values that psp's cannot have are noted."""
        said = {name: value for name, value in values.items() if value is not None}
        try:
            for key, value in said.items():
                items = value if isinstance(value, (list, tuple)) else [value]
                if not all(isinstance(item, (int, float, str)) for item in items):
                    raise PspError(f"{key}={shown(value)}: not understood")
            resolve({**self.settings, **said}, {}, self.name)
        except PspError as error:
            self.lack(str(error).removeprefix(f"recipe {self.name}: ").rstrip("."))
            return
        self.settings |= said

    def lack(self, what: str) -> None:
        """Note something that psp has no counterpart for, once."""
        if what not in self.missing:
            self.missing.append(what)

    def toml(self, source: str) -> str:
        """Return the recipe as lines that can be pasted into a card."""
        lines = [f"[recipes.{self.name}]", f"source = {_toml(source)}"]
        ordered = [name for name in SETTINGS if name in self.settings]
        lines += [f"{name} = {_toml(self.settings[name])}" for name in ordered]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "recognized_as": self.what,
            "card": self.card,
            "classes": self.classes,
            "settings": self.settings,
            "assumed": self.assumed,
            "no_counterpart": self.missing,
        }


def table(value: Any) -> Mapping[str, Any]:
    """Return a value if it is a dict, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def shown(value: Any) -> str:
    """Return a value of a stranger's file for a message: one short line."""
    if value is None or value is UNKNOWN:
        return "something computed"
    text = value if isinstance(value, str) else reprlib.repr(value)
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        escaped = "".join(
            f"\\U{ord(c):08x}" if not c.isprintable() else f"\\{c}" if c in '"\\' else c
            for c in value
        )
        return f'"{escaped}"'
    return repr(value)

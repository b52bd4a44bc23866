"""How a setting is declared: one annotated line that holds its type, default, help and limits.

    lr: Annotated[float, Setting("learning rate of the backbone", low=0)] = 0.01

A section is a frozen dataclass of such lines, and the part of psp that obeys the settings is handed
the section itself. The help of the command line, the table in docs/training.md, recipes and the
checks of values all read the declaration.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, get_type_hints

from psp.errors import PspError


@dataclass(frozen=True)
class Setting:
    """What is known of a setting beside its type and default.

    `source` says whose number the default is. Numbers must lie in `low`..`high`, texts must be one
    of `choices`; of a tuple, every item must.
    """

    help: str
    choices: tuple[Any, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    source: str = "psp"

    def check(self, name: str, value: Any) -> None:
        """Raise PspError when a value is out of range."""
        if self.choices and value not in self.choices:
            raise PspError(f"{name}={show(value)}: one of {', '.join(map(str, self.choices))}.")
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, (int, float)) and not isinstance(item, bool):
                if not math.isfinite(item):
                    raise PspError(f"{name}={item}: not a finite number.")
                if item < self.low:
                    raise PspError(f"{name}={show(item)}: must be at least {self.low:g}.")
                if item > self.high:
                    raise PspError(f"{name}={show(item)}: must be at most {self.high:g}.")


class Section:
    """A group of settings that belong to one part of psp. Subclasses are frozen dataclasses.

    `declared` has each setting's type and what else is known of it, in their order. Raises PspError
    when a value is out of its range.
    """

    declared: ClassVar[dict[str, tuple[Any, Setting]]] = {}

    def __init_subclass__(cls) -> None:
        cls.declared = {
            name: (hint.__origin__, extra)
            for name, hint in get_type_hints(cls, include_extras=True).items()
            for extra in getattr(hint, "__metadata__", ())
            if isinstance(extra, Setting)
        }

    def __post_init__(self) -> None:
        for name, (_, setting) in self.declared.items():
            setting.check(name, getattr(self, name))


def show(value: Any) -> str:
    """Return a setting's value as `--set` takes it."""
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value)) or "none"
    return str(value)

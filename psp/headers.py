"""Headers that strangers may have written: JSON, bounded before it is read and checked by its keys.

The headers of weights, manifests, shards, runs, checkpoints and results all come through here. A
value of another kind or out of its range is refused in one line that names the file and the key; a
key that this psp does not know was written by a newer one.
"""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from psp.errors import PspError, printable
from psp.files import read_bytes

LONGEST = 64 << 20  # bytes of a header; the manifest of a thousand shards has four million
DEEPEST = 16  # objects and lists within each other; a manifest has seven
MOST = 1 << 20  # objects and lists in a header
LONGEST_TEXT = 1 << 16  # characters of a text in it
LARGEST = 1 << 53  # of whole numbers without a limit of their own: what every JSON reader keeps
REQUIRED: Any = object()


class DamagedError(PspError):
    """A header holds what no psp writes."""


class NewerError(PspError):
    """A header has a key that this psp does not know: a newer psp wrote it."""


def read_header(path: Path) -> "Fields":
    """Return the JSON object in a file. Raises PspError if it cannot be read, or is none."""
    return Fields(parse(read_bytes(path, LONGEST), str(path)), str(path))


def parse(data: bytes | str, where: str, *, strict: bool = True) -> Any:
    """Return the value of a JSON text. Raises DamagedError for what is no JSON.

    A key that stands twice, and texts that are very long or deeply nested, are refused; if `strict`
    also NaN and infinity, and halves of characters, which stand for bytes of names.
    """
    if len(data) > LONGEST:
        raise DamagedError(f"{where}: damaged: larger than any header.")
    try:
        text = data if isinstance(data, str) else data.decode()
        if text.count("[") + text.count("{") > MOST:
            raise RecursionError
        numbers: dict[str, Any] = {"parse_constant": _refuse, "parse_float": _finite}
        value = json.loads(text, object_pairs_hook=_without_twins, **(numbers if strict else {}))
        _check_depth(value)
        if strict and "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise DamagedError(
            f"{where}: damaged: it has too many objects and lists, or too deep ones."
        ) from None
    except ValueError as error:
        raise DamagedError(
            f"{where}: damaged: not JSON as psp writes it: {_brief(error)}."
        ) from None
    return value


def _brief(error: ValueError) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "it has half a character in it"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:200]


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twin = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"{shown(twin)} stands twice")
    return value


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not a number of JSON")


def _finite(text: str) -> float:
    if math.isfinite(number := float(text)):
        return number
    return _refuse(text[:40])


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST + 1:
            raise RecursionError
        level = [
            item
            for outer in level
            if isinstance(outer, (dict, list))
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, (dict, list))
        ]


def shown(value: Any) -> str:
    """Return a value for a message: short, and on one line."""
    if isinstance(value, (dict, list, tuple)):
        return "a list" if isinstance(value, (list, tuple)) else "an object"
    text = f"'{printable(value[:60])}'" if isinstance(value, str) else repr(value)[:60]
    return text + "…" * (isinstance(value, str) and len(value) > 60)


class Fields:
    """A JSON object whose values are taken by key, each of the kind and range that is asked for.

    `where` is the file; `inside` goes before keys in messages, such as "splits.val.", and `after`
    behind them. All methods raise DamagedError that names the file and the key.
    """

    def __init__(self, value: Any, where: str, inside: str = "", after: str = "") -> None:
        self.where, self.inside, self.after = where, inside, after
        if not isinstance(value, dict):
            what = f"'{inside.rstrip('.')}'{after}" if inside else "it"
            raise DamagedError(f"{where}: damaged: {what} must be an object, not {shown(value)}.")
        self.value: dict[str, Any] = value

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def error(self, key: str, needs: str) -> DamagedError:
        """Return the error for a key; `needs` says what its value must be."""
        found = f", not {shown(self.value[key])}" if key in self.value else ""
        return DamagedError(
            f"{self.where}: damaged: '{self.inside}{key}'{self.after} {needs}{found}."
        )

    def only(self, known: Collection[str]) -> "Fields":
        """Return self. Raises NewerError for a key that is not one of these."""
        unknown = sorted(set(self.value).difference(known))
        if unknown:
            raise NewerError(
                f"{self.where}: written by a newer psp (unknown key '{self.inside}"
                f"{unknown[0][:100]}'{self.after}). Upgrade psp to read it."
            )
        return self

    def get(self, key: str, default: Any = REQUIRED) -> Any:
        """Return a value as it is."""
        if key not in self.value and default is REQUIRED:
            raise self.error(key, "is missing")
        return self.value.get(key, default)

    def text(self, key: str, default: Any = REQUIRED, *, empty: bool = True) -> Any:
        """Return a text. Of one that may not be `empty` no character may be a control either."""
        value = self.get(key, default)
        if value is default and default is not REQUIRED:
            return value
        if not isinstance(value, str):
            raise self.error(key, "must be a text")
        if len(value) > LONGEST_TEXT or "\0" in value:
            raise self.error(key, "must be a text of ordinary length, without zero bytes")
        if not empty and not is_label(value):
            raise self.error(key, "must be a text that is not empty and has no control characters")
        return value

    def choice(self, key: str, choices: Collection[str], default: Any = REQUIRED) -> str:
        """Return one of some texts."""
        value: str = self.text(key, default)
        if value not in choices:
            raise self.error(key, f"must be one of {', '.join(choices)}")
        return value

    def whole(self, key: str, low: int = 0, high: int = LARGEST, default: Any = REQUIRED) -> Any:
        """Return a whole number in low..high; the default may be None, and stand there as null."""
        value = self.get(key, default)
        if value is None and default is None:
            return None
        if not is_whole(value, low, high):
            raise self.error(key, f"must be a whole number {_range(low, high)}")
        return value

    def number(
        self, key: str, low: float = -math.inf, high: float = math.inf, default: Any = REQUIRED
    ) -> Any:
        """Return a number in low..high; the default may be None, and stand there as null."""
        value = self.get(key, default)
        if value is None and default is None:
            return None
        if not is_number(value, low, high):
            raise self.error(key, f"must be a number {_range(low, high)}")
        return value

    def flag(self, key: str, default: Any = REQUIRED) -> bool:
        """Return true or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def items(self, key: str, default: Any = REQUIRED, *, least: int = 0) -> list[Any]:
        """Return a list of at least so many items."""
        value = self.get(key, default)
        if not isinstance(value, (list, tuple)) or len(value) < least:
            raise self.error(
                key, f"must be a list of {least} or more items" if least else "must be a list"
            )
        return list(value)

    def wholes(
        self, key: str, low: int = 0, high: int = LARGEST, *, count: int | None = None
    ) -> tuple[int, ...]:
        """Return whole numbers in low..high, `count` of them if that is given."""
        values = self.items(key)
        if len(values) != (count or len(values)) or not all(is_whole(v, low, high) for v in values):
            many = f"{count} " if count else ""
            raise self.error(key, f"must be a list of {many}whole numbers {_range(low, high)}")
        return tuple(values)

    def texts(self, key: str, default: Any = REQUIRED) -> tuple[str, ...]:
        """Return texts."""
        values = self.items(key, default)
        if not all(isinstance(v, str) and len(v) <= LONGEST_TEXT and "\0" not in v for v in values):
            raise self.error(key, "must be a list of texts")
        return tuple(values)

    def object(self, key: str, default: Any = REQUIRED) -> "Fields":
        """Return an object."""
        return Fields(self.get(key, default), self.where, f"{self.inside}{key}.", self.after)

    def objects(self, key: str) -> Iterator["Fields"]:
        """Yield the objects in a list."""
        for value in self.items(key):
            yield Fields(value, self.where, f"{self.inside}{key}.", self.after)


def is_label(text: str) -> bool:
    """Whether a text can name a class or a data set: not empty, short, no control characters."""
    return (
        0 < len(text) <= 1000
        and text.strip() != ""
        and all(
            c.isprintable() or ord(c) >= 160
            for c in text  # controls are C0, DEL and C1
        )
    )


def is_whole(value: Any, low: int = 0, high: int = LARGEST) -> bool:
    """Whether a value is a whole number in low..high; true and 1.0 are none."""
    return type(value) is int and low <= value <= high


def is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether a value is a finite number in low..high; true is none."""
    return type(value) in (int, float) and low <= value <= high and abs(value) < math.inf


def _range(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "that is finite"
    if high in (LARGEST, math.inf):
        return f"of {low:g} or more"
    return f"from {low:g} to {high:g}" if low > -math.inf else f"of {high:g} or less"

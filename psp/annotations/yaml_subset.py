"""The part of YAML that data files of labeling tools use, and no more.

Mappings, lists, both in brackets, quoted and plain texts, comments, and blocks of text (`|`, `>`).
All values are texts; an empty one is None. Anything else is refused with its line: anchors, tags,
texts over several lines, tabs as indentation.
"""

import re
import textwrap
from pathlib import Path
from typing import Any

from psp.errors import PspError

_DEEPEST = 20
_LONGEST = 20_000  # characters of a line
_MOST_LINES = 100_000
_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#"'\[\]{},&*!|>%@`-][^#]*?|-[^\s#]+)\s*:(?=\s|$)"""
)
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?$")


class _SyntaxError(Exception):
    """What is not understood, and in which line (from 1 up)."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def read_yaml(text: str, path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML text. Raises PspError that names file and line."""
    lines = text.splitlines()
    too_long = next((n for n, line in enumerate(lines, 1) if len(line) > _LONGEST), None)
    if too_long or len(lines) > _MOST_LINES:
        raise PspError(f"{path}: line {too_long or _MOST_LINES}: too long for a data file")
    try:
        return _Reader(lines).document()
    except _SyntaxError as error:
        raise PspError(f"{path}: line {error.line}: {error}. Write it more plainly") from None


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self._all = lines
        self._at = 0

    def document(self) -> dict[str, Any]:
        line = self._peek()
        if line is not None and line[1] == "---":
            self._at += 1
        value = self._block(0, 0)
        rest = self._peek()
        if rest is not None and rest[1] != "...":
            raise _SyntaxError(self._at + 1, "not understood as YAML")
        if not isinstance(value, dict):
            raise _SyntaxError(1, "no 'key: value'")
        return value

    def _peek(self) -> tuple[int, str] | None:
        """Return the indentation and text of the next line that says something."""
        while self._at < len(self._all):
            raw = self._all[self._at]
            text = _without_comment(raw, self._at + 1).rstrip()
            if text.strip():
                indent = len(text) - len(text.lstrip(" "))
                if text[indent] == "\t":
                    raise _SyntaxError(self._at + 1, "a tab as indentation")
                return indent, text.strip()
            self._at += 1
        return None

    def _block(self, least: int, depth: int) -> Any:
        """Read a mapping or list that is indented by `least` or more."""
        line = self._peek()
        if line is None or line[0] < least:
            return None
        if depth > _DEEPEST:
            raise _SyntaxError(self._at + 1, "nested too deeply")
        if line[1] == "-" or line[1].startswith("- "):
            return self._list(line[0], depth)
        return self._mapping(line[0], depth)

    def _mapping(self, indent: int, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while (line := self._peek()) is not None and line[0] == indent and line[1] != "...":
            match = _KEY.match(line[1])
            if match is None:
                raise _SyntaxError(self._at + 1, "no 'key: value'")
            key = _scalar(match[1], self._at + 1)
            if key is None or key == "<<":
                raise _SyntaxError(self._at + 1, f"key {match[1]} is not understood")
            if key in values:
                raise _SyntaxError(self._at + 1, f"'{key}' stands twice")
            values[key] = self._value(line[1][match.end() :].strip(), indent, depth)
        self._check_indent(indent)
        return values

    def _list(self, indent: int, depth: int) -> list[Any]:
        values = []
        while (line := self._peek()) is not None and line[0] == indent:
            if line[1] != "-" and not line[1].startswith("- "):
                break
            rest = line[1][1:].strip()
            if _KEY.match(rest) and rest[0] not in "[{":
                raise _SyntaxError(self._at + 1, "a mapping in a list")
            values.append(self._value(rest, indent + 1, depth, in_list=True))
        self._check_indent(indent)
        return values

    def _check_indent(self, indent: int) -> None:
        line = self._peek()
        if line is not None and line[0] > indent:
            raise _SyntaxError(self._at + 1, "indented, but it belongs to nothing above")

    def _value(self, text: str, indent: int, depth: int, *, in_list: bool = False) -> Any:
        """Read what follows a key or a dash, in its line and below."""
        number = self._at + 1
        self._at += 1
        if not text:
            line = self._peek()
            is_list = line is not None and (line[1] == "-" or line[1].startswith("- "))
            # The list of a key may stand below it without any indentation.
            return self._block(indent if is_list and not in_list else indent + 1, depth + 1)
        if _BLOCK.match(text):
            return self._text(indent)
        if text[0] in "[{":
            while not _is_closed(text, number):
                line = self._peek()
                if line is None:
                    raise _SyntaxError(number, f"'{text[0]}' without an end")
                text = f"{text} {line[1]}"
                self._at += 1
            return _Flow(text, number).value()
        return _scalar(text, number)

    def _text(self, indent: int) -> str:
        """Read a block of text: all lines that are indented more, as they are."""
        lines = []
        while self._at < len(self._all):
            raw = self._all[self._at]
            if raw.strip() and len(raw) - len(raw.lstrip(" ")) <= indent:
                break
            lines.append(raw)
            self._at += 1
        return textwrap.dedent("\n".join(lines))


class _Flow:
    """Reads [a, b] and {a: b}."""

    _TOKEN = re.compile(
        r"""\s*([\[\]{},]|:(?=[\s,\[\]{}]|$)|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:[^\s,\[\]{}:]|:(?![\s,\[\]{}]|$)|\s+(?![\s,\[\]{}:]|$))+)"""
    )

    def __init__(self, text: str, number: int) -> None:
        self._tokens: list[str] = []
        self._number = number
        place = 0
        while place < len(text.rstrip()):
            match = self._TOKEN.match(text, place)
            if match is None:
                raise _SyntaxError(number, "not understood as a list or mapping in brackets")
            self._tokens.append(match[1].strip())
            place = match.end()
        self._at = 0

    def value(self) -> Any:
        value = self._value(0)
        if self._at < len(self._tokens):
            raise _SyntaxError(self._number, f"'{self._tokens[self._at]}' behind the end")
        return value

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1] if self._at <= len(self._tokens) else ""

    def _value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise _SyntaxError(self._number, "nested too deeply")
        token = self._next()
        if token == "[":
            return self._items(depth)
        if token == "{":
            return self._pairs(depth)
        if token in ("", "]", "}", ",", ":"):
            raise _SyntaxError(self._number, "a value is missing in brackets")
        return _scalar(token, self._number)

    def _items(self, depth: int) -> list[Any]:
        items: list[Any] = []
        while not self._ends("]"):
            items.append(self._value(depth + 1))
            self._separate("]")
        return items

    def _pairs(self, depth: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        while not self._ends("}"):
            key = _scalar(self._next(), self._number)
            if key is None or key in pairs or self._next() != ":":
                raise _SyntaxError(self._number, "no 'key: value' in brackets, or one twice")
            pairs[key] = self._value(depth + 1)
            self._separate("}")
        return pairs

    def _ends(self, end: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == end:
            self._at += 1
            return True
        return False

    def _separate(self, end: str) -> None:
        if self._at < len(self._tokens) and self._tokens[self._at] == end:
            return
        if self._next() != ",":
            raise _SyntaxError(self._number, "a comma is missing in brackets")


def _without_comment(line: str, number: int) -> str:
    """Return a line without its comment: a # at the beginning or after a blank, not in quotes."""
    quote = ""
    place = 0
    while place < len(line):
        character = line[place]
        if quote:
            if (character == "\\" and quote == '"') or line[place : place + 2] == "''" == 2 * quote:
                place += 1
            elif character == quote:
                quote = ""
        elif character in "\"'" and (place == 0 or line[place - 1] in " [{,:-"):
            quote = character
        elif character == "#" and (place == 0 or line[place - 1] in " \t"):
            return line[:place]
        place += 1
    return line


def _is_closed(text: str, number: int) -> bool:
    """Whether all brackets are closed, those in quotes left out."""
    bare = re.sub(r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'""", "", text)
    opened = sum(bare.count(c) for c in "[{") - sum(bare.count(c) for c in "]}")
    if opened < 0:
        raise _SyntaxError(number, "a bracket is closed that was not opened")
    return opened == 0


_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "/": "/", "0": "\0"}


def _scalar(text: str, number: int) -> str | None:
    """Return a plain or quoted text; None for an empty one."""
    if text[:1] == "'":
        if len(text) < 2 or text[-1] != "'" or "'" in text[1:-1].replace("''", ""):
            raise _SyntaxError(number, "a quote without an end")
        return text[1:-1].replace("''", "'")
    if text[:1] == '"':
        if not re.fullmatch(r'"(?:[^"\\]|\\.)*"', text):
            raise _SyntaxError(number, "a quote without an end")
        return re.sub(r"\\(.)", lambda found: _escaped(found[1], number), text[1:-1])
    if (text[:1] and text[0] in "#&*!|>%@`?{}[]") or text[:2] in ("-", "- "):
        raise _SyntaxError(number, f"{text[:20]!r} is more of YAML than is read here")
    if re.search(r":(\s|$)", text):
        raise _SyntaxError(number, "two colons in a line")
    return None if text in ("", "~", "null") else text


def _escaped(character: str, number: int) -> str:
    if character not in _ESCAPES:
        raise _SyntaxError(number, f"\\{character} in a quoted text")
    return _ESCAPES[character]

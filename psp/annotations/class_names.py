"""Files that name the classes of masks: classes.txt, labelmap.txt, _classes.csv, class_dict.csv, …

A line holds a name, and perhaps a number, a color, or both, in one of the orders in use. All lines
of a file are of one shape, or the lines themselves are the names.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psp.errors import PspError
from psp.files import read_bytes

FILES = (
    "labelmap.txt",
    "classes.txt",
    "_classes.csv",
    "classes.csv",
    "labels.txt",
    "class_names.txt",
    "class_dict.csv",
    "class_dict_seg.csv",
    "codes.txt",
    "label_colors.txt",
    "labels.csv",
)
_MOST = 1 << 20  # bytes of such a file
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_OF_A_PICTURE = re.compile(r"\.(?:jpe?g|png|bmp|tiff?|webp|gif)\b")
_IGNORED = frozenset({"void", "ignore", "ignored", "unlabeled", "unlabelled", "ignore_label"})
_BACKGROUND = frozenset({"background", "bg"})
_HEADS = frozenset({"name", "names", "class", "classes", "class_name", "label", "id", "value"})


def means_ignored(name: str) -> bool:
    """Whether a class's name says that its pixels are neither trained on nor scored."""
    return name.strip().strip("_").casefold().replace(" ", "_") in _IGNORED


def means_background(name: str) -> bool:
    """Whether a class's name says that nothing was drawn there."""
    return name.strip().strip("_").casefold() in _BACKGROUND


def background_of(names: Iterable[str]) -> str:
    """Return the name among these that stands for what is undrawn; "" if none does."""
    return next((name for name in names if means_background(name)), "")


@dataclass(frozen=True)
class Names:
    """The names in one file: by line, by the value that stands there, by color (each may be {})."""

    path: Path | str
    lines: tuple[str, ...] = ()
    values: dict[int, str] = field(default_factory=dict)
    colors: dict[int, str] = field(default_factory=dict)

    def by_value(self) -> dict[int, str]:
        """Return the names by value; without stated values the lines count from 0."""
        return self.values or dict(enumerate(self.lines))


def find_names(folders: Iterable[Path]) -> Names | None:
    """Return what the files in these folders say. Raises PspError where two contradict each other.

    A file with colors and one with values complete each other.
    """
    found: list[Names] = []
    for folder in dict.fromkeys(folders):
        paths = [folder / name for name in FILES if (folder / name).is_file()]
        found += [names for path in paths if (names := read_names(path))]
        found += [names for path in sorted(folder.glob("*.json")) if (names := read_map(path))]
    merged: Names | None = None
    for names in found:
        merged = names if merged is None else _merged(merged, names)
    return merged


def _merged(one: Names, other: Names) -> Names:
    pairs = [(one.colors, other.colors, "color #{:06x}")]
    if not (one.colors and not one.values) and not (other.colors and not other.values):
        pairs.append((one.by_value(), other.by_value(), "value {}"))
    for mine, yours, form in pairs:
        if not (mine and yours):
            continue
        for value in sorted(mine.keys() | yours.keys()):
            if value == 255 and (value not in mine or value not in yours):
                continue
            first, second = mine.get(value, "nothing"), yours.get(value, "nothing")
            if _plain(first) != _plain(second):
                raise PspError(
                    f"{other.path}: {form.format(value)} is '{second}', but '{first}' in "
                    f"{one.path}. Remove the file that is wrong"
                )
    if one.colors and not other.colors and not one.values:
        return Names(one.path, one.lines, other.by_value(), one.colors)
    if other.colors and not one.colors and not other.values:
        return Names(other.path, other.lines, one.by_value(), other.colors)
    return Names(one.path, one.lines, one.values or other.values, one.colors or other.colors)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold() or name


def read_map(path: Path) -> Names | None:
    """Return the names of a JSON file that maps numbers to names, or lists names; None for others.

    Other forms than {"0": "name"} count only in a file whose name speaks of classes.
    """
    if path.stat().st_size > _MOST:
        return None
    try:
        content = json.loads(read_bytes(path).decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None  # nothing says that it is about classes
    about_classes = re.search("class|label|name|categor|id2|legend|color", path.stem.casefold())
    if isinstance(content, list) and content and all(isinstance(name, str) for name in content):
        return Names(path, tuple(content)) if about_classes else None
    if not isinstance(content, dict) or not content:
        return None
    numbers = all(re.fullmatch(r"\d{1,7}", key) for key in content)
    if numbers and all(isinstance(name, str) and name for name in content.values()):
        return Names(path, (), {int(key): name for key, name in content.items()})
    if not about_classes:
        return None
    if all(type(value) is int for value in content.values()):
        if len(set(content.values())) == len(content):
            return Names(path, (), {value: key for key, value in content.items()})
        return None
    if all(_is_color(value) for value in content.values()):
        return Names(path, tuple(content), {}, {_color(v): k for k, v in content.items()})
    return None


def _is_color(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(part) is int and 0 <= part <= 255 for part in value)
    )


def _color(rgb: Sequence[int]) -> int:
    return (rgb[0] << 16) | (rgb[1] << 8) | rgb[2]


def read_names(path: Path) -> Names | None:
    """Read a text file of names; None for a list of pictures, which is called labels.txt at times.

    Raises PspError that names the file and the line.
    """
    if path.stat().st_size > _MOST:
        raise PspError(f"{path}: too large for a list of class names. Remove it, or correct it")
    data = read_bytes(path)
    try:
        text = data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise PspError(f"{path}: is not UTF-8 text. Save it as UTF-8") from None
    numbered = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith(("#", "//"))
    ]
    if numbered and _is_head(numbered[0][1]):
        del numbered[0]
    if numbered and numbered[0][1] == "__ignore__":  # labelme's, which has the number -1
        del numbered[0]
    if not numbered:
        raise PspError(f"{path}: names no class. Write one name a line, or remove the file")
    if all(_OF_A_PICTURE.search(line.casefold()) for _, line in numbered):
        return None
    names = _shaped(path, numbered) or Names(path, tuple(line for _, line in numbered))
    _check(names)
    return names


def _is_head(line: str) -> bool:
    """Whether a line names the columns: "name,r,g,b", "Pixel Value, Class"."""
    words = [word.strip(" \"'").casefold() for word in re.split(r"[,;\t]", line)]
    return len(words) > 1 and bool({"r", "red", "pixel value"} & set(words) or set(words) <= _HEADS)


_INTEGER = re.compile(r"\d{1,9}(?:\.0+)?")  # some programs write 255.0


# Numbers before and after the name: a value, a color, or both.
_SHAPES = {(0, 1), (1, 0), (0, 3), (3, 0), (1, 3), (4, 0), (0, 4)}


def _shaped(path: Path, numbered: Sequence[tuple[int, str]]) -> Names | None:
    """Read lines of numbers and a name, if all are of one shape; None otherwise."""
    rows: list[tuple[list[int], str, list[int]]] = []
    for _, line in numbered:
        tokens = [token.strip(" \"'") for token in _tokens(line)]
        tokens = [token for token in tokens if token]
        first, last = 0, len(tokens)
        while first < last and _INTEGER.fullmatch(tokens[first]):
            first += 1
        while last > first and _INTEGER.fullmatch(tokens[last - 1]):
            last -= 1
        name = " ".join(tokens[first:last])
        if not name:
            return None
        rows.append(
            ([int(float(t)) for t in tokens[:first]], name, [int(float(t)) for t in tokens[last:]])
        )
    shapes = Counter(_of(before, after) for before, _, after in rows)
    ((shape, count),) = shapes.most_common(1)
    if shape not in _SHAPES or len({name for _, name, _ in rows}) != len(rows):
        return None
    if count < len(rows):
        number, line = next(
            line
            for line, (a, _, b) in zip(numbered, rows, strict=True)
            if (len(a), len(b)) != shape
        )
        if count > len(rows) / 2 and re.search(r"[,;:\t]", line):
            raise PspError(f"{path}: line {number}: not written as the other lines ({line[:60]!r})")
        return None
    names = tuple(name for _, name, _ in rows)
    numbers = [[*head, *tail] for head, _, tail in rows]
    values: dict[int, str] = {}
    colors: dict[int, str] = {}
    for (number, _), row, name in zip(numbered, numbers, names, strict=True):
        if len(row) != 3:
            if row[0] in values:
                raise PspError(f"{path}: line {number}: the value {row[0]} is named twice")
            values[row[0]] = name
        if len(row) >= 3:
            rgb = row[-3:]
            if max(rgb) > 255:
                raise PspError(f"{path}: line {number}: {rgb} is no color (0 to 255)")
            if _color(rgb) in colors:
                both = f"'{colors[_color(rgb)]}' and '{name}'"
                raise PspError(f"{path}: line {number}: {both} have the same color {rgb}")
            colors[_color(rgb)] = name
    return Names(path, names, values, colors)


def _of(before: Sequence[int], after: Sequence[int]) -> tuple[int, int]:
    return len(before), len(after)


def _tokens(line: str) -> list[str]:
    """Split a line where its numbers are: at commas, colons, tabs; else at blanks."""
    hexadecimal = re.search(r"#([0-9a-fA-F]{6})\b", line)
    if hexadecimal:
        rgb = ",".join(str(value) for value in bytes.fromhex(hexadecimal[1]))
        line = line.replace(hexadecimal[0], f",{rgb},")
    # A class may be of several words: only numbers at the ends are taken apart.
    parts = [part for part in re.split(r"[,;:\t]", line) if part.strip()]
    tokens: list[str] = []
    for part in parts:
        words = part.split()
        first, last = 0, len(words)
        while first < last and _INTEGER.fullmatch(words[first]):
            first += 1
        while last > first and _INTEGER.fullmatch(words[last - 1]):
            last -= 1
        tokens += words[:first]
        tokens += [" ".join(words[first:last])] if first < last else []
        tokens += words[last:]
    return tokens


def _check(names: Names) -> None:
    """Raise PspError for a name that stands twice."""
    seen: set[str] = set()
    for name in names.lines:
        if name in seen:
            raise PspError(f"{names.path}: '{name}' stands there twice. Rename one of them")
        seen.add(name)

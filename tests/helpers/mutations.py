"""Values of JSON files, changed at one place into what nobody expects."""

import copy
import json

ODD = [
    None, True, 0, -1, 3, 2.5, -0.0, 1e308, 10**30, 10**400, float("nan"), float("inf"), "", "x",
    "..", "a/../../b.png", "\ud800", "\0", "7", [], {}, [[]], [None], [1, 2], ["x"], {"x": 1},
    {"size": 5}, {"size": [3, 4], "counts": [12]}, {"size": [3, 4], "counts": "0"}, [[1, 2, 3, 4]],
    [[[[[[1]]]]]],
    "\x1b[31m\n", "data:image/png;base64,AAAA", "9" * 5000,
]  # fmt: skip


def nested(depth):
    """Lists in lists, deeper than any reader goes."""
    return "[" * depth + "]" * depth


def places(value, path=()):
    """Yield the path of every value in a JSON value."""
    yield path
    if not isinstance(value, dict | list):
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from places(item, (*path, key))


def mutated(value, rng):
    """Return a copy with one place replaced, removed, doubled, or taken from elsewhere."""
    value = copy.deepcopy(value)
    paths = [path for path in places(value) if path]
    path = paths[rng.integers(len(paths))]
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    kind = rng.integers(6)
    if kind == 0:
        del parent[path[-1]]
    elif kind == 1 and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[path[-1]]))
    elif kind == 2:
        other = value
        for key in paths[rng.integers(len(paths))]:
            other = other[key] if isinstance(other, dict | list) else other
        parent[path[-1]] = copy.deepcopy(other)
    else:
        parent[path[-1]] = copy.deepcopy(ODD[rng.integers(len(ODD))])
    return value


def damaged(value, rng):
    """Return a JSON text of a mutated value; some are cut, and some lose or change a byte."""
    text = json.dumps(mutated(value, rng))
    kind = rng.integers(12)
    if kind == 0:
        return text[: rng.integers(len(text))]
    if kind == 1:
        place = rng.integers(len(text))
        return text[:place] + '\\[]{}",:9e'[rng.integers(10)] + text[place + 1 :]
    if kind == 2:
        return text.replace("0", nested(100_000), 1)
    return text


def damaged_text(text, rng):
    """Return a text with a few characters replaced, removed or doubled, or cut."""
    for _ in range(rng.integers(1, 4)):
        place = rng.integers(len(text) + 1)
        odd = ["\0", "-", "e9", " ", "\n", "nan", "é", ".", "9" * 400, "\t", ""][rng.integers(11)]
        text = text[:place] + odd + text[place + rng.integers(3) :]
    return text[: rng.integers(len(text) + 1)] if rng.integers(9) == 0 else text

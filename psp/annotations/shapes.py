"""The shapes of a picture, as a list of JSON objects with a class name each."""

from collections.abc import Callable
from typing import Any

from psp.annotations.numbers import short
from psp.annotations.records import Region, Shape


def read_shapes(
    values: object,
    *,
    group: str,
    noun: str,
    key: str,
    check_label: Callable[[str], None],
    region: Callable[[dict[str, Any], str], Region | None],
) -> tuple[Shape, ...]:
    """Return the shapes of a list that its file calls `group`, one of them a `noun`.

    `key` has the class's name, which `check_label` may refuse. `region` returns what an object, of
    which the text says where it stands, covers, or None if it has no area. Raises ValueError that
    names the item.
    """
    if not isinstance(values, list):
        raise ValueError(f"{group} is no list ({short(values)})")
    shapes = []
    for position, value in enumerate(values):
        item = f"{group}[{position}]"
        try:
            if not isinstance(value, dict):
                raise ValueError(f"no {noun} ({short(value)})")
            label = value.get(key)
            if not isinstance(label, str) or not label:
                raise ValueError(f"its {key} is no text ({short(label)})")
            check_label(label)
            covered = region(value, item)
        except ValueError as error:
            raise ValueError(f"{item}: {error}") from None
        if covered is not None:
            shapes.append(Shape(label, covered, item))
    return tuple(shapes)

"""The table [exports] of a card: own photos and exports of labeling tools, read without code."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from psp.data.card import IGNORE, Exports
from psp.errors import PspError

KEYS: dict[str, type] = {
    "images": str,
    "video": str,
    "format": str,
    "masks": str,
    "twice": str,
    "undrawn": str,
    "empty": str,
    "order": str,
    "val_fraction": float,
    "group_by": str,
    "seed": int,
    "max_side": int,
}
TWICE = ("first", "last")
ORDERS = ("file-order", "large-first")
IGNORED, LEFT_OUT = "ignore", "leave-out"  # values of `undrawn` and `empty`


def read_exports(
    table: Mapping[str, Any],
    names: Sequence[str],
    meant: Sequence[Sequence[str]],
    ignored: Sequence[str],
    fail: Callable[[str], PspError],
) -> Exports:
    """Return the table, whose keys and types were checked; `fail` makes errors that name the card.

    `names` are the card's classes, `meant` the exports' names for each of them, and `ignored` the
    exports' names for what is not trained on.
    """
    labels: dict[str, int] = dict.fromkeys(ignored, IGNORE)
    for index, texts in enumerate(meant):
        for text in texts:
            if text in labels:
                raise fail(f"'{text}' is in two classes' 'from', or in 'ignore_from' too.")
            labels[text] = index
    classes = {name: index for index, name in enumerate(names)}
    value = dict(table)
    if not value["sources"] or not all(isinstance(s, str) and s for s in value["sources"]):
        raise fail("exports: 'sources' must list files and folders.")
    undrawn = value.pop("undrawn", IGNORED)
    if undrawn != IGNORED and undrawn not in classes:
        raise fail(f"exports: 'undrawn' must be '{IGNORED}' or a class, not '{undrawn}'.")
    empty = value.pop("empty", LEFT_OUT)
    if empty not in (LEFT_OUT, "background"):
        raise fail(f"exports: 'empty' must be '{LEFT_OUT}' or 'background', not '{empty}'.")
    if value.get("order", ORDERS[0]) not in ORDERS:
        raise fail(f"exports: 'order' must be {' or '.join(map(repr, ORDERS))}.")
    if value.get("twice", TWICE[0]) not in TWICE:
        raise fail(f"exports: 'twice' must be {' or '.join(map(repr, TWICE))}.")
    if not 0 <= value.get("val_fraction", 0.5) < 1:
        raise fail("exports: 'val_fraction' must be at least 0 and below 1.")
    if value.get("max_side", 1) < 1:
        raise fail("exports: 'max_side' must be above 0. Leave it out to keep all pictures' sizes.")
    try:
        re.compile(value.get("group_by", "auto"))
    except re.error as error:
        raise fail(f"exports: 'group_by' is no regular expression: {error}.") from None
    value["sources"] = tuple(value["sources"])
    return Exports(
        **value,
        labels=labels,
        undrawn=classes.get(undrawn, IGNORE),
        empty=empty == "background",
    )

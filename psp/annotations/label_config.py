"""Label Studio's labeling configuration: which classes regions can have, and their colors."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field

from psp.annotations.place import Place
from psp.errors import PspError

_TAGS = ("PolygonLabels", "BrushLabels", "EllipseLabels", "Labels", "BitmaskLabels")
_LARGEST = 1 << 20  # bytes


@dataclass(frozen=True)
class LabelConfig:
    """The classes of regions with area, in the configuration's order."""

    classes: tuple[str, ...] = ()
    colors: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


def read_config(place: Place) -> LabelConfig:
    """Return the configuration that lies with an export, or an empty one if none does.

    Raises PspError if it is broken, and if there are two with different classes.
    """
    found: dict[str, LabelConfig] = {}
    for name in place.named(".xml"):
        if place.size(name) <= _LARGEST and "<View" in place.head(name):
            found[name] = _config(place, name)
    if len({config.classes for config in found.values()}) > 1:
        one, other = list(found)[:2]
        raise PspError(
            f"{place.path(one)} and {other} are two labeling configurations. Remove one of them"
        )
    return next(iter(found.values()), LabelConfig())


def _config(place: Place, name: str) -> LabelConfig:
    text = place.text(name)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise PspError(f"{place.path(name)}: no labeling configuration: it defines entities")
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:
        raise PspError(f"{place.path(name)}: broken XML: {error}. Export it again") from None
    classes: list[str] = []
    colors: dict[str, tuple[int, int, int]] = {}
    for tag in (tag for tag in root.iter() if tag.tag in _TAGS):
        for label in tag.iter("Label"):
            value = label.get("alias") or label.get("value")
            if value:
                classes.append(value)
                color = _color(label.get("background", ""))
                if color is not None:
                    colors.setdefault(value, color)
    return LabelConfig(tuple(dict.fromkeys(classes)), colors)


def _color(text: str) -> tuple[int, int, int] | None:
    digits = text.strip().removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    try:
        parts = bytes.fromhex(digits) if text.strip().startswith("#") else b""
    except ValueError:
        return None
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None

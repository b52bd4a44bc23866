"""The shapes of CVAT's XML: what each covers, from its attributes."""

import math

from psp.annotations.numbers import number, short, size, whole
from psp.annotations.numbers import points as checked_points
from psp.annotations.polygons import Ellipse, Polygon, rectangle
from psp.annotations.records import Region
from psp.annotations.rle import BoxRuns, runs
from psp.annotations.xml_file import Element

PAINTED = frozenset({"polygon", "box", "ellipse", "mask"})
# These have no area; CVAT's own masks leave them out, too.
NOT_PAINTED = frozenset({"polyline", "points", "skeleton", "cuboid", "tag"})


def region_of(element: Element) -> Region:
    """Return what a polygon, box, ellipse or mask covers. Raises ValueError."""
    if element.tag == "polygon":
        return Polygon((checked_points(point_list(element)),))
    if element.tag == "box":
        left, top, right, bottom = (decimal(element, key) for key in ("xtl", "ytl", "xbr", "ybr"))
        if not (right > left and bottom > top):
            raise ValueError("a box without area")
        return Polygon((rectangle(left, top, right, bottom, decimal(element, "rotation", 0.0)),))
    if element.tag == "ellipse":
        x, y, radius_x, radius_y = (decimal(element, key) for key in ("cx", "cy", "rx", "ry"))
        return Ellipse(x, y, radius_x, radius_y, decimal(element, "rotation", 0.0))
    left, top, width, height = (integer(element, k) for k in ("left", "top", "width", "height"))
    size(width, height, "the mask")
    return BoxRuns(left, top, width, height, runs(_run_list(element)))


def z_order(element: Element) -> int:
    """Return how high a shape lies: 0 where it is not said. Raises ValueError."""
    return integer(element, "z_order", 0)


def decimal(element: Element, key: str, default: float | None = None) -> float:
    """Return an attribute as a number. Raises ValueError if it is none, or absent."""
    text = element.attributes.get(key)
    if text is None:
        if default is None:
            raise ValueError(f"it has no '{key}'")
        return default
    return number(_parsed(text, key), f"its '{key}'")


def integer(element: Element, key: str, default: int | None = None) -> int:
    """Return an attribute as a whole number, as `decimal` does."""
    value = decimal(element, key, default)
    return whole(value, f"its '{key}'")


def point_list(element: Element) -> list[list[float]]:
    """Return the points of "x,y;x,y". Raises ValueError."""
    text = element.attributes.get("points", "")
    pairs = [pair.split(",") for pair in text.split(";") if pair.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"its points are not pairs of x,y ({short(text)})")
    return [[_parsed(part, "points") for part in pair] for pair in pairs]


def _run_list(element: Element) -> list[float]:
    text = element.attributes.get("rle", "")
    return [_parsed(part, "rle") for part in text.split(",") if part.strip()]


def _parsed(text: str, key: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"'{key}' holds {short(text)}, which is no number") from None
    if math.isnan(value):
        raise ValueError(f"'{key}' holds {short(text)}, which is no number")
    return value

"""Label Studio's results: what regions of a task cover, and which labels they have."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.annotations.numbers import number, points, short, size
from psp.annotations.polygons import Ellipse, RelativePolygon
from psp.annotations.records import Region, Shape
from psp.annotations.remarks import Remarks
from psp.annotations.rle import BrushBits


@dataclass(frozen=True, slots=True)
class PercentEllipse:
    """An ellipse in percent of the picture's size, turned clockwise by degrees."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    rotation: float

    def cover(self, height: int, width: int) -> tuple[int, int, NDArray[np.bool_]]:
        """See `Region`. Raises ValueError for no radius, and if it lies outside."""
        right, down = width / 100, height / 100
        sides = self.x * right, self.y * down, self.radius_x * right, self.radius_y * down
        return Ellipse(*sides, self.rotation).cover(height, width)


def shapes_of(
    results: object, item: str, file: str, remarks: Remarks
) -> tuple[tuple[Shape, ...], tuple[int, int] | None]:
    """Return what was drawn, and the picture's size as stated. Raises ValueError."""
    if not isinstance(results, list):
        raise ValueError(f"its result is no list ({short(results)})")
    labeled = {str(r.get("id")) for r in results if isinstance(r, dict) and _is_labeled(r)}
    shapes, sizes = [], set()
    for position, result in enumerate(results):
        where = f"result[{position}]"
        try:
            if not isinstance(result, dict):
                raise ValueError(f"no result ({short(result)})")
            stated = size(result.get("original_width"), result.get("original_height"))
            sizes |= {stated} if stated else set()
            region = _region(result, stated)
            labels = _labels(_value(result))
            if isinstance(region, str):
                remarks.add(region, f"{file}: {item}: {where}")
            elif not labels and str(result.get("id")) not in labeled:
                text = "{n} region{s} without a label left out"
                remarks.add(text, f"{file}: {item}: {where}")
            elif len(labels) > 1:
                raise ValueError(f"it has several labels ({', '.join(map(short, labels[:3]))})")
            elif labels:
                shapes.append(Shape(labels[0], region, f"{item}: {where}"))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if len(sizes) > 1:
        shown = " and ".join(f"{w}x{h}" for w, h in sorted(sizes)[:2])
        raise ValueError(f"its results are for pictures of {shown}")
    return tuple(shapes), next(iter(sizes), None)


def _value(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a result's value; JSON_MIN has it without a level of its own."""
    value = result.get("value", result)
    return value if isinstance(value, dict) else {}


def _labels(value: Mapping[str, Any]) -> list[str]:
    """Return the class names, whatever the tag. Raises ValueError if they are no texts."""
    for key, labels in value.items():
        if key.endswith("labels") and labels:
            labels = labels if isinstance(labels, list) else [labels]
            if not all(isinstance(label, str) and label for label in labels):
                raise ValueError(f"its {key[:40]} are no texts ({short(labels[0])})")
            return list(dict.fromkeys(labels))
    return []


def _is_labeled(result: Mapping[str, Any]) -> bool:
    return any(key.endswith("labels") and labels for key, labels in _value(result).items())


def _region(result: Mapping[str, Any], stated: tuple[int, int] | None) -> Region | str:
    """Return what a result covers; or, if it has no area, what to remark. Raises ValueError."""
    value = _value(result)
    rotation = number(result.get("image_rotation") or 0, "image_rotation")
    if "rle" in value:
        region: Region | str = _brush(value, stated)
    elif "points" in value:
        region = RelativePolygon(points(value["points"]) / 100)
    elif "radiusX" in value:
        keys = ("x", "y", "radiusX", "radiusY")
        x, y, across, down = (number(value.get(key), key) for key in keys)
        turn = number(value.get("rotation") or 0, "rotation")
        region = PercentEllipse(x, y, across, down, turn)
    elif "imageDataURL" in value:
        raise ValueError("bitmasks are not read: draw with BrushLabels or PolygonLabels")
    elif "height" in value:
        return "{n} rectangle{s} left out: a box alone is no mask"
    else:
        kind = result.get("type")
        return f"{{n}} result{{s}} of type {short(kind)} left out: no area"
    if rotation % 360:
        raise ValueError(f"drawn on a picture turned by {rotation:g} degrees. Turn it back")
    return region


def _brush(value: Mapping[str, Any], stated: tuple[int, int] | None) -> BrushBits:
    try:
        data = bytes(value["rle"]) if isinstance(value["rle"], list) else b""
    except (TypeError, ValueError):
        raise ValueError("its rle holds something that is no byte") from None
    if not data:
        raise ValueError("its rle is no list of bytes")
    width, height = stated or (0, 0)
    return BrushBits(height, width, data)

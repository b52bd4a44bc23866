"""Painted scenes in which context decides the class: a data set that needs no download.

The same hull is a boat on water and a car on a road; the same gray box is a building under the sky
and a cabinet in a room. Objects are drawn independently of the scene, so only the surroundings tell
their class. This is the paper's argument for the pyramid (section 3.1, "mismatched relationship").
With `cue_distance`, a uniform mist surrounds every object, so that anything that tells its class is
at least that many pixels away.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from psp.data.card import IGNORE
from psp.files import atomic_write, make_folder
from psp.images.encoding import encode_label, encode_png

# Raw label values of the card `scenes`.
SKY, WATER, ROAD, WALL, FLOOR, BOAT, CAR, BUILDING, CABINET = range(9)
MIST = (205, 205, 205)
NOISE = 5.0  # standard deviation of the noise, in gray levels


@dataclass(frozen=True)
class SceneSpec:
    """Sizes in pixels; `object_size` is the range of an object's width / the picture's width."""

    height: int = 96
    width: int = 128
    cue_distance: int = 0
    object_size: tuple[float, float] = (0.4, 0.6)


@dataclass
class _Canvas:
    image: NDArray[np.float32]  # (H, W, 3)
    label: NDArray[np.uint8]  # (H, W)


def paint(spec: SceneSpec, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return one scene: image uint8 (H, W, 3) RGB and raw label uint8 (H, W), 255 for mist."""
    scene = rng.choice(["sea", "street", "room"])
    objects = np.random.default_rng(rng.integers(1 << 62))  # objects do not depend on the scene
    blank = np.zeros((spec.height, spec.width, 3), np.float32)
    canvas = _Canvas(blank, np.zeros((spec.height, spec.width), np.uint8))
    horizon = int(spec.height * rng.uniform(0.4, 0.6))
    if scene == "room":
        _wall(canvas, horizon, rng)
        _floor(canvas, horizon, rng)
        _box(canvas, spec, horizon, CABINET, objects)
    else:
        _sky(canvas, horizon, rng)
        if scene == "sea":
            _water(canvas, horizon, rng)
        else:
            _road(canvas, horizon, rng)
        if objects.random() < 0.5:
            _box(canvas, spec, horizon, BUILDING, objects)
        _hull(canvas, spec, horizon, BOAT if scene == "sea" else CAR, objects)
    noisy = canvas.image + rng.normal(0, NOISE, canvas.image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), canvas.label


def paint_set(
    folder: Path, counts: Mapping[str, int], *, seed: int = 0, spec: SceneSpec | None = None
) -> Iterator[Path]:
    """Write images/{split}/NNNN.png and labels/{split}/NNNN.png; yield each picture's path.

    A scene depends only on the seed, the split's name and the scene's index.
    """
    spec = spec or SceneSpec()
    for split, count in counts.items():
        for index in range(count):
            rng = np.random.default_rng([seed, *split.encode(), index])
            image, label = paint(spec, rng)
            for kind, data in (("images", encode_png(image)), ("labels", encode_label(label))):
                path = folder / kind / split / f"{index:04d}.png"
                make_folder(path.parent)
                with atomic_write(path) as temporary:
                    temporary.write_bytes(data)
            yield folder / "images" / split / f"{index:04d}.png"


def _color(
    rng: np.random.Generator, base: tuple[int, int, int], spread: float
) -> NDArray[np.float32]:
    return (np.array(base) + rng.uniform(-spread, spread, 3)).astype(np.float32)


def _fill(canvas: _Canvas, top: int, bottom: int, surface: NDArray[np.float32], label: int) -> None:
    canvas.image[top:bottom] = surface
    canvas.label[top:bottom] = label


def _sky(canvas: _Canvas, horizon: int, rng: np.random.Generator) -> None:
    height = np.linspace(0, 1, horizon, dtype=np.float32)[:, None, None]
    top, low = _color(rng, (110, 160, 215), 20), _color(rng, (200, 215, 230), 15)
    _fill(canvas, 0, horizon, top + (low - top) * height, SKY)


def _water(canvas: _Canvas, horizon: int, rng: np.random.Generator) -> None:
    rows, columns = np.mgrid[horizon : canvas.label.shape[0], 0 : canvas.label.shape[1]]
    depth = (rows - horizon + 4) / 10
    waves = np.sin(columns / (2 + depth) + rng.uniform(0, 6)) * np.sin(
        rows / 1.3 + rng.uniform(0, 6)
    )
    surface = _color(rng, (60, 115, 145), 15) + 14 * waves[..., None]
    _fill(canvas, horizon, canvas.label.shape[0], surface.astype(np.float32), WATER)


def _road(canvas: _Canvas, horizon: int, rng: np.random.Generator) -> None:
    height, width = canvas.label.shape
    gray = rng.uniform(80, 110)
    grain = rng.normal(0, 7, (height - horizon, width, 1))
    _fill(canvas, horizon, height, (gray + grain).astype(np.float32).repeat(3, 2), ROAD)
    middle = (horizon + height) // 2
    for left in range(int(rng.integers(0, 16)), width, 24):
        cv2.rectangle(canvas.image, (left, middle), (left + 11, middle + 1), (225, 225, 215), -1)


def _wall(canvas: _Canvas, horizon: int, rng: np.random.Generator) -> None:
    columns = np.arange(canvas.label.shape[1])[None, :, None]
    stripes = 8 * np.sign(np.sin(columns / rng.uniform(1.5, 3) + rng.uniform(0, 6)))
    _fill(canvas, 0, horizon, (_color(rng, (205, 185, 150), 20) + stripes).astype(np.float32), WALL)


def _floor(canvas: _Canvas, horizon: int, rng: np.random.Generator) -> None:
    rows = np.arange(horizon, canvas.label.shape[0])[:, None, None]
    planks = np.where((rows - horizon) % int(rng.integers(6, 10)) == 0, -30, 0)
    surface = (_color(rng, (150, 105, 65), 15) + planks).astype(np.float32)
    _fill(canvas, horizon, canvas.label.shape[0], surface, FLOOR)


def _hull(
    canvas: _Canvas, spec: SceneSpec, horizon: int, label: int, objects: np.random.Generator
) -> None:
    """Draw a cabin on a body that narrows downwards: the outline of a boat and of a car."""
    width = spec.width * objects.uniform(*spec.object_size)
    body, cabin = 0.26 * width, 0.2 * width
    low = objects.uniform(horizon + 0.5 * (spec.height - horizon), spec.height - 2)
    left = objects.uniform(0, spec.width - width)
    outline = [(0, 0), (1, 0), (0.86, 1), (0.14, 1)]
    roof = [(0.26, 0), (0.36, -1), (0.66, -1), (0.76, 0)]
    corners = [(left + x * width, low - body + y * body) for x, y in outline]
    top = [(left + x * width, low - body + y * cabin) for x, y in roof]
    window = [
        (left + x * width, low - body + y * cabin)
        for x, y in [(0.36, -0.2), (0.41, -0.8), (0.61, -0.8), (0.66, -0.2)]
    ]
    paint_body = objects.uniform(30, 230, 3)
    paint_roof = objects.uniform(30, 230, 3)
    glass = objects.uniform(20, 70)
    parts = [(corners, paint_body), (top, paint_roof), (window, np.full(3, glass))]
    _place(canvas, spec, parts, label)


def _box(
    canvas: _Canvas, spec: SceneSpec, horizon: int, label: int, objects: np.random.Generator
) -> None:
    """Draw a gray box with rows of panels: a building's windows or a cabinet's drawers."""
    width = spec.width * objects.uniform(*spec.object_size) * 0.8
    height = min(width * objects.uniform(0.6, 1.0), 0.9 * horizon)
    low = horizon + 0.06 * spec.height
    left = objects.uniform(0, spec.width - width)
    gray = objects.uniform(115, 175)

    def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
        return [
            (left + x * width, low - height + y * height)
            for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        ]

    parts = [(rectangle(0, 0, 1, 1), np.full(3, gray))]
    columns, rows = int(objects.integers(2, 5)), int(objects.integers(2, 4))
    for column in range(columns):
        for row in range(rows):
            panel = rectangle(
                (column + 0.2) / columns,
                (row + 0.2) / rows,
                (column + 0.8) / columns,
                (row + 0.8) / rows,
            )
            parts.append((panel, np.full(3, gray - 45)))
    _place(canvas, spec, parts, label)


def _place(
    canvas: _Canvas,
    spec: SceneSpec,
    parts: list[tuple[list[tuple[float, float]], NDArray[np.float64]]],
    label: int,
) -> None:
    """Draw an object of colored polygons on the canvas, with mist around it."""
    mask = np.zeros(canvas.label.shape, np.uint8)
    for polygon, _ in parts:
        cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 1)
    if spec.cue_distance:
        far = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        mist = (far > 0) & (far <= spec.cue_distance)
        canvas.image[mist] = MIST
        canvas.label[mist] = IGNORE
    for polygon, color in parts:
        cv2.fillPoly(canvas.image, [np.round(polygon).astype(np.int32)], color.tolist())
    canvas.label[mask == 1] = label

"""Line charts as inline SVG: where lines, ticks and texts are; `line_chart.html.j2` draws them.

Colors come from the page's CSS, so a chart follows light and dark.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 260  # of the viewBox
LEFT, RIGHT, TOP, BOTTOM = 88, 20, 14, 34  # margins
MOST = 400  # points of a line; of more, the means of neighbors are drawn

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line: its points in the order of x. With `dots`, each is marked and says its value."""

    name: str
    points: Sequence[Point]
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over the same steps. Values of a `percent` chart are 0 to 1, and shown times 100."""

    title: str
    series: Sequence[Series]
    percent: bool = False


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: its place in the viewBox, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    """A marked point, and what it says."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line: its name, the `d` of its path, its dots, and its last value as text."""

    name: str
    path: str
    dots: Sequence[Dot]
    last: str


@dataclass(frozen=True)
class DrawnChart:
    """A chart in the coordinates of its viewBox."""

    title: str
    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def drawn(chart: Chart) -> DrawnChart | None:
    """Return where everything of a chart is; None if it has no finite point."""
    factor = 100 if chart.percent else 1
    series = [
        Series(s.name, [(x, y * factor) for x, y in s.points if math.isfinite(y)], s.dots)
        for s in chart.series
    ]
    series = [Series(s.name, thinned(s.points), s.dots) for s in series if s.points]
    if not series:
        return None
    xs = [x for s in series for x, _ in s.points]
    ys = [y for s in series for _, y in s.points]
    x_ticks = ticks(min(*xs, 0), max(*xs, 1), 6)
    y_ticks = ticks(min(*ys, 0), max(ys), 5)
    x_of = _scale(min(*xs, 0), max(*xs, 1), LEFT, WIDTH - RIGHT)
    y_of = _scale(min(y_ticks), max(y_ticks), HEIGHT - BOTTOM, TOP)
    return DrawnChart(
        title=chart.title,
        lines=[
            Line(
                s.name,
                "M" + "L".join(f"{x_of(x):.1f} {y_of(y):.1f}" for x, y in s.points),
                [Dot(x_of(x), y_of(y), f"step {x:g}: {y:.4g}") for x, y in s.points]
                if s.dots or len(s.points) == 1
                else [],
                f"{s.points[-1][1]:.4g}",
            )
            for s in series
        ],
        x_ticks=[Tick(x_of(x), f"{x:,.0f}") for x in x_ticks if x <= max(*xs, 1)],
        y_ticks=[Tick(y_of(y), f"{y:g}") for y in y_ticks],
    )


def thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Return at most MOST points: the means of so many neighbors each."""
    size = -(-len(points) // MOST)
    if size == 1:
        return points
    groups = [points[begin : begin + size] for begin in range(0, len(points), size)]
    return [
        (math.fsum(x for x, _ in group) / len(group), math.fsum(y for _, y in group) / len(group))
        for group in groups
    ]


def ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers from `low` or below to `high` or above, about so many."""
    span = high - low or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span / about))
    step = next(size * factor for factor in (1, 2, 5, 10) if span / (size * factor) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(low / step + span / step - 1e-9)
    return [round(step * number, 12) for number in range(first, last + 1)]


def _scale(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    """Return the linear map of low..high to begin..end."""
    factor = (end - begin) / (high - low)
    return lambda value: begin + (value - low) * factor

"""Line charts: everything lies inside, ticks are round, and long lines are thinned."""

import itertools
import math
import re

import pytest

from psp.pages.line_chart import MOST, Chart, Series, drawn, thinned, ticks


@pytest.mark.parametrize(
    ("low", "high", "first", "last"),
    [(0, 1, 0, 1), (0, 0.0019, 0, 0.002), (-3, 7, -4, 8), (0, 97, 0, 100)],
)
def test_ticks_are_round_and_hold_the_range(low, high, first, last):
    found = ticks(low, high, 6)
    assert (found[0], found[-1]) == (first, last) and 3 <= len(found) <= 9
    steps = {round(b - a, 9) for a, b in itertools.pairwise(found)}
    assert len(steps) == 1
    assert re.fullmatch(r"[125](\.0)?e.*", f"{steps.pop():.1e}")


@pytest.mark.parametrize(
    "values", [[5.0], [0.0, 0.0], [1.0, math.nan, 3.0], [-2.0, 1e9], [1e-7] * 3]
)
def test_a_line_lies_between_the_axes(values):
    points = [(10.0 * n + 10, value) for n, value in enumerate(values)]
    chart = drawn(Chart("loss", [Series("main", points)]))
    numbers = [tuple(map(float, p.split())) for p in chart.lines[0].path[1:].split("L")]
    assert len(numbers) == sum(map(math.isfinite, values))
    for x, y in numbers:
        assert chart.left <= x <= chart.right and 0 <= y <= chart.bottom


def test_a_chart_without_a_finite_point_is_none():
    assert drawn(Chart("loss", [Series("main", []), Series("aux", [(1.0, math.inf)])])) is None


def test_many_points_become_means_of_neighbors():
    points = [(float(n), float(n % 2)) for n in range(10 * MOST)]
    few = thinned(points)
    assert len(few) == MOST
    assert all(y == 0.5 for _, y in few) and few[0][0] == 4.5


def test_shares_are_shown_in_percent():
    chart = drawn(Chart("mIoU", [Series("mIoU", [(1.0, 0.25), (2.0, 0.5)], dots=True)], True))
    assert chart.lines[0].last == "50"
    assert [dot.text for dot in chart.lines[0].dots] == ["step 1: 25", "step 2: 50"]

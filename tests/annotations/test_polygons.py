"""Outlines against the libraries of the tools, drawn on the whole picture; and plain geometry."""

import cv2
import numpy as np
import pytest
from helpers.covers import on_picture
from PIL import Image, ImageDraw

from psp.annotations.numbers import number, points, size, whole
from psp.annotations.polygons import EDGES, WHOLE, Disk, Ellipse, Line, Polygon, rectangle

HEIGHT, WIDTH = 61, 97


@pytest.fixture(params=range(12))
def ring(request):
    """Polygons of all sizes, some crossing themselves, some reaching out of the picture."""
    rng = np.random.default_rng(request.param)
    center = rng.uniform((0, 0), (WIDTH, HEIGHT))
    corners = center + rng.normal(0, rng.uniform(2, 40), (int(rng.integers(3, 9)), 2))
    return points(np.clip(corners, (-WIDTH, -HEIGHT), (2 * WIDTH, 2 * HEIGHT)).tolist())


def drawn(draw):
    picture = Image.new("L", (WIDTH, HEIGHT))
    draw(ImageDraw.Draw(picture))
    return np.asarray(picture) != 0


def test_centers_are_those_of_pycocotools(ring):
    coco = pytest.importorskip("pycocotools.mask")
    encoded = coco.frPyObjects([ring.ravel().tolist()], HEIGHT, WIDTH)
    mask = on_picture(Polygon((ring,)), HEIGHT, WIDTH)
    assert np.count_nonzero(mask != coco.decode(encoded)[..., 0]) <= 1  # 1 of a million, measured


def test_centers_are_inside(ring):
    """By the even-odd rule, computed for every center in turn; the rim's tenth is left out."""
    mask = on_picture(Polygon((ring,)), HEIGHT, WIDTH)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside, rim = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        along = np.clip(
            ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2), 0, 1
        )
        rim |= np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)) < 0.35
    assert np.array_equal(mask[~rim], inside[~rim])


def test_edges_are_pillows(ring):
    expected = drawn(lambda d: d.polygon([(x, y) for x, y in ring], fill=1, outline=1))
    assert (
        np.count_nonzero(on_picture(Polygon((ring,), fill=EDGES), HEIGHT, WIDTH) != expected) <= 1
    )


def test_whole_is_opencvs(ring):
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(expected, [ring.astype(np.int32)], [1])
    assert np.array_equal(on_picture(Polygon((ring,), fill=WHOLE), HEIGHT, WIDTH), expected == 1)


def test_lines_and_disks_are_pillows(ring):
    corners = [(x, y) for x, y in ring]
    expected = drawn(lambda d: d.line(corners, fill=1, width=10))
    assert np.count_nonzero(on_picture(Line(ring, 10), HEIGHT, WIDTH) != expected) <= 2
    x, y = np.clip(ring[0], 0, (WIDTH, HEIGHT))
    expected = drawn(
        lambda d: d.ellipse([x - 13.4, y - 13.4, x + 13.4, y + 13.4], fill=1, outline=1)
    )
    assert np.array_equal(on_picture(Disk(x, y, 13.4), HEIGHT, WIDTH), expected)


def test_several_rings_are_joined_and_holes_cut():
    left, right = rectangle(2, 3, 20, 30), rectangle(15, 10, 40, 33)
    hole = rectangle(17, 12, 19, 14)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[3:30, 2:20] = expected[10:33, 15:40] = True
    assert np.array_equal(on_picture(Polygon((left, right)), HEIGHT, WIDTH), expected)
    expected[12:14, 17:19] = False
    assert np.array_equal(on_picture(Polygon((left, right), (hole,)), HEIGHT, WIDTH), expected)


def test_ellipses_and_rectangles_turn_clockwise():
    flat = on_picture(Ellipse(50.2, 30.3, 20.1, 8.1), HEIGHT, WIDTH)
    assert abs(flat.sum() - np.pi * 20.1 * 8.1) < 15
    assert np.array_equal(on_picture(Ellipse(50.2, 30.3, 8.1, 20.1, 90), HEIGHT, WIDTH), flat)
    turned = on_picture(Ellipse(50, 30, 20, 8, 30), HEIGHT, WIDTH)
    assert turned[38, 64] and not turned[22, 64]  # y goes down: clockwise as seen
    assert np.allclose(rectangle(10, 20, 30, 24, 90), [(22, 12), (22, 32), (18, 32), (18, 12)])
    assert np.allclose(rectangle(10, 20, 30, 24, 90, (10, 20))[1], (10, 40))


def test_a_part_outside_is_cut_and_all_outside_is_refused():
    mask = on_picture(Polygon((rectangle(-90, -7, 5, 4),)), HEIGHT, WIDTH)
    assert mask[:4, :5].all() and mask.sum() == 20
    far = rectangle(WIDTH + 1, 0, WIDTH + 9, 9)
    for region in (
        Polygon((far,)),
        Polygon((far,), fill=EDGES),
        Disk(-50, 5, 9),
        Ellipse(5, 99, 9, 9),
    ):
        with pytest.raises(ValueError, match="outside of the picture"):
            region.cover(HEIGHT, WIDTH)


@pytest.mark.parametrize("point", [(5000, 20), (-98, 20), (20, 123), (20, -62)])
def test_a_point_far_outside_is_of_another_picture(point):
    ring = points([[5, 5], [50, 9], point])
    for region in (Polygon((ring,)), Line(ring, 10)):
        with pytest.raises(ValueError, match="far outside"):
            region.cover(HEIGHT, WIDTH)


def test_only_the_bounding_box_is_worked_on():
    top, left, mask = Polygon((rectangle(3000, 2000, 3010, 2007),)).cover(3000, 4000)
    assert mask.size < 300 and mask.sum() == 70
    assert (top, left) == (1999, 2999)


@pytest.mark.parametrize(
    "values",
    [
        None, {}, "1 2 3 4 5 6", [], [1, 2, 3], [1, 2, 3, 4, 5], [[1, 2], [3, 4]], [[1, 2, 3]] * 3,
        [[1, 2], [3, 4], [5]], [[1, 2], [3, 4], [5, None]], [[1, 2], [3, 4], [5, "6"]],
        [[1, 2], [3, 4], [5, float("nan")]], [[1, 2], [3, 4], [5, float("inf")]],
        [[1, 2], [3, 4], [5, 1e300]], [[1, 2], [3, 4], [5, 10**400]], [[True, False]] * 3,
        [[[1, 2]], [[3, 4]], [[5, 6]]],
    ],
)  # fmt: skip
def test_what_is_no_polygon_is_refused(values):
    with pytest.raises(ValueError, match="point|coordinate"):
        points(values)


@pytest.mark.parametrize("value", [None, "5", True, [5], float("nan"), float("inf"), 10**400, 1e9])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="width"):
        number(value, "width")
    with pytest.raises(ValueError, match="size|width"):
        size(value or "", 5)


def test_whole_numbers_may_be_written_as_fractions():
    assert whole(12.0, "id") == 12 and whole(1 << 60, "id") == 1 << 60
    with pytest.raises(ValueError, match="id"):
        whole(12.5, "id")
    assert size(None, None) is None and size(640.0, 480) == (640, 480)

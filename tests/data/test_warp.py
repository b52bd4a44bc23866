"""A crop that leaves out what it does not show has the values of one warp of everything."""

import cv2
import numpy as np
import pytest

from psp.data.augment import Choice, matrix
from psp.data.warp import BILINEAR, warp_picture


def plain(image, to_picture, height, width):
    rgba = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    warped = cv2.warpAffine(
        rgba, to_picture, (width, height), flags=BILINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)


@pytest.mark.parametrize(("side", "crop"), [((100, 90), (105, 129)), ((140, 201), (97, 97))])
def test_values_are_those_of_one_warp_wherever_a_blur_sees_them(rng, side, crop):
    image = rng.integers(0, 256, (*side, 3), dtype=np.uint8)
    seen = 0
    for number in range(150):
        scale = rng.uniform(0.3, 2)
        angle = (0, rng.uniform(-10, 10), rng.uniform(-180, 180))[number % 3]
        rest = [round(a * scale) - b for a, b in zip(side, crop, strict=True)]
        top, left = (-(-r // 2) if r < 0 else int(rng.uniform() * (r + 1)) for r in rest)
        choice = Choice(scale, angle, bool(number % 2), False, top, left)
        to_picture = matrix(choice, *side)
        expected = plain(image, to_picture, *crop)
        found = warp_picture(image, to_picture, *crop)
        inside = cv2.warpAffine(
            np.ones(side, np.uint8),
            to_picture,
            crop[::-1],
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        )
        near = cv2.dilate(inside, np.ones((5, 5), np.uint8)) > 0
        assert np.array_equal(found[near], expected[near]), choice
        seen += near.any()
    assert seen > 100


def test_a_crop_beside_the_picture_is_black_or_its_edge():
    image = np.full((20, 30, 3), 7, np.uint8)
    for x, y in ((-100, 0), (100, 0), (0, -100), (0, 100), (100, 100), (-100, -100)):
        to_picture = np.array([[1, 0, x], [0, 1, y]], np.float64)
        assert set(np.unique(warp_picture(image, to_picture, 25, 35))) <= {0, 7}

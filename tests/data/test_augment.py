"""Augmentation: one warp equals sampling the scene itself, image and label stay together."""

import math
from dataclasses import replace

import numpy as np
import pytest

from psp.data.augment import (
    Augmentation,
    Choice,
    apply,
    choose,
    matrix,
)
from psp.data.photometric import Distortion
from psp.settings.size import Size

FILL = (10, 20, 30)
PLAIN = {"blur": 0.0, "flip": 0.0, "rotate": 0.0}


def ramp(height, width):
    """A picture that is linear in its coordinates, so that bilinear sampling is exact."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return np.stack([2.0 * x, 2.0 * y, x + y], axis=2)


def analytic(choice, height, width, size):
    """Where each crop pixel's center lies in the picture, derived from the words, not the code."""
    canvas_h, canvas_w = round(height * choice.scale), round(width * choice.scale)
    y, x = np.mgrid[0 : size.height, 0 : size.width] + 0.5
    x, y = x + choice.left, y + choice.top
    if choice.flip:
        x = canvas_w - x
    angle = math.radians(choice.angle)
    dx, dy = x - canvas_w / 2, y - canvas_h / 2
    x = canvas_w / 2 + math.cos(angle) * dx - math.sin(angle) * dy
    y = canvas_h / 2 + math.sin(angle) * dx + math.cos(angle) * dy
    return x / choice.scale, y / choice.scale


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [0.0, 7.3, -10.0])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.37, 2.0])
@pytest.mark.parametrize("size", [Size(41, 41), Size(57, 33), Size(25, 65)], ids=str)
def test_the_warp_equals_analytic_sampling(size, scale, angle, flip):
    height, width = 90, 120
    image = np.round(ramp(height, width)).astype(np.uint8)
    label = (np.mgrid[0:height, 0:width][1] // 10).astype(np.uint8)
    choice = Choice(scale, angle, flip, False, 3, 5)
    found, target = apply(choice, size, image, label, FILL)
    x, y = analytic(choice, height, width, size)
    inside = (x > 1) & (y > 1) & (x < width - 1) & (y < height - 1)
    expected = np.stack([2 * x, 2 * y, x + y], axis=2)
    # 1 for rounding the ramp itself, 1 for OpenCV's 1/32-pixel steps and rounding.
    assert np.abs(found.astype(float) - expected)[inside].max() <= 2
    nearest = (np.floor(x) // 10).astype(int)
    near_edge = np.abs(x / 10 - np.round(x / 10)) < 0.01  # a tie may fall either way
    assert (target == nearest)[inside & ~near_edge].all()
    outside = (x < -0.01) | (y < -0.01) | (x > width + 0.01) | (y > height + 0.01)
    assert (target[outside] == 255).all()
    assert (found[outside] == FILL).all()


def test_scale_one_without_turn_is_a_plain_crop(rng):
    image = rng.integers(0, 256, (60, 70, 3), dtype=np.uint8)
    label = rng.integers(0, 9, (60, 70), dtype=np.uint8)
    found, target = apply(Choice(1.0, 0.0, False, False, 7, 11), Size(41, 41), image, label, FILL)
    assert np.array_equal(found, image[7:48, 11:52])
    assert np.array_equal(target, label[7:48, 11:52])


def test_flip_moves_image_and_label_together(rng):
    image = rng.integers(0, 256, (41, 41, 3), dtype=np.uint8)
    label = rng.integers(0, 9, (41, 41), dtype=np.uint8)
    found, target = apply(Choice(1.0, 0.0, True, False, 0, 0), Size(41, 41), image, label, FILL)
    assert np.array_equal(found, image[:, ::-1])
    assert np.array_equal(target, label[:, ::-1])


def test_a_small_picture_is_centered_and_its_edge_stays_clean():
    image = np.full((20, 30, 3), 200, np.uint8)
    label = np.full((20, 30), 4, np.uint8)
    spec = Augmentation(crop=41, scale_min=1.0, scale_max=1.0, **PLAIN)
    choice = choose(spec, 20, 30, np.random.default_rng(0))
    assert (choice.top, choice.left) == (-10, -5)
    found, target = apply(choice, Size(41, 41), image, label, FILL)
    assert (target == 4).sum() == 20 * 30
    assert (found[target == 4] == 200).all()  # no fill bleeds into the picture
    assert (found[target == 255] == FILL).all()
    assert (target[10:30, 5:35] == 4).all()


def test_blur_comes_before_the_fill_and_leaves_labels_alone(rng):
    image = np.full((20, 30, 3), 200, np.uint8)
    label = rng.integers(0, 9, (20, 30), dtype=np.uint8)
    sharp = apply(Choice(1.0, 0.0, False, False, -10, -5), Size(41, 41), image, label, FILL)
    blurred = apply(Choice(1.0, 0.0, False, True, -10, -5), Size(41, 41), image, label, FILL)
    assert np.array_equal(sharp[0], blurred[0])
    assert np.array_equal(sharp[1], blurred[1])


def test_choices_stay_in_their_ranges_and_are_repeatable():
    spec = Augmentation(crop=89)
    drawn = [choose(spec, 300, 400, np.random.default_rng(k)) for k in range(3000)]
    again = [choose(spec, 300, 400, np.random.default_rng(k)) for k in range(3000)]
    assert drawn == again
    scales = np.array([c.scale for c in drawn])
    assert 0.5 <= scales.min() < 0.51 and 1.99 < scales.max() <= 2.0
    assert abs(scales.mean() - 1.25) < 0.03  # uniform
    angles = np.array([c.angle for c in drawn])
    assert np.abs(angles).max() <= 10
    assert abs((angles == 0).mean() - 0.5) < 0.04
    assert abs(np.mean([c.flip for c in drawn]) - 0.5) < 0.04
    assert abs(np.mean([c.blur for c in drawn]) - 0.5) < 0.04
    for c in drawn:
        assert 0 <= c.top <= round(300 * c.scale) - 89
        assert 0 <= c.left <= round(400 * c.scale) - 89


def test_every_position_can_come_including_the_last():
    spec = Augmentation(crop=41, scale_min=1.0, scale_max=1.0, **PLAIN)
    tops = {choose(spec, 43, 41, np.random.default_rng(k)).top for k in range(200)}
    assert tops == {0, 1, 2}


def test_the_matrix_keeps_pixel_centers():
    # At half the size, crop pixel 0 covers picture pixels 0 and 1: its center is between them.
    found = matrix(Choice(0.5, 0.0, False, False, 0, 0), 100, 100) @ [0, 0, 1]
    assert np.allclose(found, [0.5, 0.5])


def test_colors_change_as_the_sample_says_and_the_border_does_not(rng):
    image = np.full((20, 30, 3), (150, 100, 60), np.uint8)
    label = np.full((20, 30), 4, np.uint8)
    spec = Augmentation(crop=41, brightness=32, contrast=0.5, saturation=0.5, hue=18)
    drawn = [choose(spec, 20, 30, np.random.default_rng(k)).distortion for k in range(1000)]
    assert drawn == [choose(spec, 20, 30, np.random.default_rng(k)).distortion for k in range(1000)]
    assert {d.hue for d in drawn if d.hue is not None} == set(range(-18, 18))
    for name, low, high in (("brightness", -32, 32), ("contrast", 0.5, 1.5)):
        values = [value for d in drawn if (value := getattr(d, name)) is not None]
        assert low <= min(values) and max(values) <= high and abs(len(values) - 500) < 60
    place = Choice(1.0, 0.0, False, False, -10, -5)
    plain = apply(place, Size(41, 41), image, label, FILL)
    changed = apply(
        replace(place, distortion=Distortion(brightness=20)), Size(41, 41), image, label, FILL
    )
    assert np.array_equal(plain[1], changed[1])
    assert (changed[0][plain[1] == 4] == (170, 120, 80)).all()
    assert (changed[0][plain[1] == 255] == FILL).all()


def test_other_choices_of_a_sample_do_not_depend_on_its_colors():
    plain, colors = Augmentation(crop=41), Augmentation(crop=41, hue=18)
    for k in range(20):
        one, two = (choose(s, 90, 90, np.random.default_rng(k)) for s in (plain, colors))
        assert one == replace(two, distortion=None)


def test_a_small_picture_in_the_corner_stays_there_when_mirrored(rng):
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    label = rng.integers(0, 9, (20, 30), dtype=np.uint8)
    spec = Augmentation(
        crop=41, scale_min=1.0, scale_max=1.0, **(PLAIN | {"flip": 1.0}), placed="corner"
    )
    found, target = apply(choose(spec, 20, 30, rng), Size(41, 41), image, label, FILL)
    assert np.array_equal(found[:20, :30], image[:, ::-1])
    assert np.array_equal(target[:20, :30], label[:, ::-1])
    assert (target[20:] == 255).all() and (target[:, 30:] == 255).all()


@pytest.mark.parametrize(
    ("resize", "size", "factor"),
    [
        ("2048x512", (300, 400), 512 / 300),
        ("2048x512", (400, 300), 512 / 300),
        ("200x100", (100, 400), 0.5),
        ("long:200", (300, 400), 0.5),
        ("short:150", (300, 400), 0.5),
        ("own", (300, 400), 1.0),
    ],
)
def test_pictures_are_resized_before_the_random_scale(resize, size, factor):
    spec = Augmentation(crop=41, scale_min=0.5, scale_max=0.5, train_resize=resize)
    assert choose(spec, *size, np.random.default_rng(0)).scale == pytest.approx(factor / 2)


@pytest.mark.parametrize("size", [Size(41, 41), Size(65, 33)], ids=str)
def test_a_crop_has_the_pixel_that_it_is_laid_on(size, rng):
    """Also in a corner, with every turn and mirror; a picture smaller than the crop is centered."""
    spec = Augmentation(crop=str(size) if size.width != size.height else size.width)
    places = []
    for number in range(300):
        height, width = (int(side) for side in rng.integers(30, 120, 2))
        label = np.zeros((height, width), np.uint8)
        row, column = (int(rng.integers(0, side)) for side in (height, width))
        if number % 3 == 0:
            row, column = (row > 50) * (height - 1), (column > 50) * (width - 1)
        label[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4] = 1
        choice = choose(spec, height, width, np.random.default_rng(number), (row, column))
        image = np.zeros((height, width, 3), np.uint8)
        _, target = apply(choice, size, image, label, FILL)
        assert (target == 1).any(), number
        rows, columns = np.nonzero(target == 1)
        places.append((rows.mean() / size.height, columns.mean() / size.width))
    assert (np.std(places, axis=0) > 0.1).all()  # anywhere in the crop, not in its middle alone


def test_without_scaling_a_single_pixel_is_in_its_crop(rng):
    spec = Augmentation(crop=41, scale_min=1.0, scale_max=1.0, rotate=0.0)
    image = np.zeros((90, 70, 3), np.uint8)
    for number in range(200):
        row, column = int(rng.integers(90)), int(rng.integers(70))
        label = np.zeros((90, 70), np.uint8)
        label[row, column] = 1
        choice = choose(spec, 90, 70, np.random.default_rng(number), (row, column))
        assert (apply(choice, Size(41, 41), image, label, FILL)[1] == 1).sum() == 1


def test_a_crop_laid_on_a_pixel_is_otherwise_the_same():
    spec = Augmentation(crop=41)
    for number in range(50):
        plain = choose(spec, 90, 70, np.random.default_rng(number))
        laid = choose(spec, 90, 70, np.random.default_rng(number), (45, 35))
        assert (laid.scale, laid.flip, laid.blur) == (plain.scale, plain.flip, plain.blur)

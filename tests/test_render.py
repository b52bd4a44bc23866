"""Drawing label maps: colors, overlays, legends and sheets."""

import cv2
import numpy as np
import pytest
from helpers.errors import error_naming

from psp.data.cardfile import find_card, shipped
from psp.errors import PspError
from psp.render import STYLES, OverlayStyle, colors, draw, legend, overlay, sheet

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def test_colors_are_the_palettes_and_ignored_pixels_are_white():
    label = np.array([[0, 2, 255]], np.uint8)
    assert colors(label, PALETTE).tolist() == [[[255, 0, 0], [0, 0, 255], [255, 255, 255]]]


@pytest.fixture
def halves(rng):
    """A noisy gray picture, and a label map whose left half is of class 0, the right of class 1."""
    image = np.repeat(rng.integers(60, 190, (40, 60, 1), dtype=np.uint8), 3, axis=2)
    label = np.zeros((40, 60), np.uint8)
    label[:, 30:] = 1
    return image, label


def test_a_tint_keeps_the_photos_brightness_and_shows_the_class(halves):
    image, label = halves
    for palette in (PALETTE, ((0, 0, 0), (255, 255, 255)), ((40, 0, 0), (255, 255, 0))):
        drawn = overlay(image, label, palette)
        assert drawn.shape == image.shape and drawn.dtype == np.uint8
        gray = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY)[:, :29] for one in (image, drawn)]
        assert abs(float(gray[0].mean()) - gray[1].mean()) < 4
        assert np.corrcoef(gray[0].ravel(), gray[1].ravel())[0, 1] > 0.99
    drawn = overlay(image, label, PALETTE).astype(int)
    assert (drawn[:, :29, 0] > drawn[:, :29, 1] + 20).all()
    assert (drawn[:, 30:, 1] > drawn[:, 30:, 0] + 20).all()
    assert (drawn[:, 29] == PALETTE[0]).all()  # the line between them


def test_the_ends_of_the_strength_are_the_photo_and_the_colors(halves):
    image, label = halves
    for name in STYLES:
        assert np.array_equal(draw(image, label, PALETTE, OverlayStyle(name, 0.0))[:, -60:], image)
    colored = overlay(image, label, PALETTE, 1.0)
    assert np.array_equal(colored, colors(label, PALETTE))


def test_an_outline_changes_nothing_but_lines_in_the_classes_colors(halves):
    image, label = halves
    drawn = draw(image, label, PALETTE, OverlayStyle("outline"))
    assert (drawn[:, 29] == PALETTE[0]).all() and (drawn[:, 30] == PALETTE[1]).all()
    assert np.array_equal(np.delete(drawn, (29, 30), 1), np.delete(image, (29, 30), 1))


def test_side_by_side_has_the_photo_and_the_tint(halves):
    image, label = halves
    drawn = draw(image, label, PALETTE, OverlayStyle("side-by-side", 0.4))
    assert np.array_equal(drawn[:, :60], image)
    assert np.array_equal(drawn[:, 60:], overlay(image, label, PALETTE, 0.4))


@pytest.mark.parametrize(
    ("fields", "subject"),
    [(("tinted", None), "--overlay-style tinted"), (("tint", 1.5), "--overlay-strength 1.5")],
)
def test_a_style_that_is_unknown_or_too_strong_is_refused(fields, subject):
    with error_naming(PspError, subject):
        OverlayStyle(*fields)
    with error_naming(PspError, "--overlay-strength nan"):
        OverlayStyle("tint", float("nan"))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_legend_shows_every_class_color_once(name):
    card = find_card(name)
    key = legend(card.names, card.palette)
    shown = {tuple(color) for color in np.unique(key.reshape(-1, 3), axis=0).tolist()}
    assert set(card.palette) <= shown
    assert key.shape[1] >= 640


def test_a_sheet_holds_all_rows():
    small, large = np.zeros((10, 20, 3), np.uint8), np.full((40, 50, 3), 9, np.uint8)
    key = legend(["a"], [(1, 2, 3)], width=100)
    page = sheet([[small, small], [large, large]], ["one", "two"], 30, key)
    assert page.shape[0] == 30 + 2 * 38 + key.shape[0]
    assert page.shape[1] >= 2 * 60
    assert (page == 9).all(axis=2).sum() >= 2 * 30 * 36
    short = sheet([[small, small], [large]], ["one", "two"], 30, key)
    assert short.shape[0] == page.shape[0]

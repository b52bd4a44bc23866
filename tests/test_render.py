"""Drawing label maps: colors, overlays, legends and sheets."""

import numpy as np
import pytest

from psp.data.cardfile import find_card, shipped
from psp.render import colors, legend, overlay, sheet

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def test_colors_are_the_palettes_and_ignored_pixels_are_white():
    label = np.array([[0, 2, 255]], np.uint8)
    assert colors(label, PALETTE).tolist() == [[[255, 0, 0], [0, 0, 255], [255, 255, 255]]]


def test_an_overlay_mixes_picture_and_color_and_marks_borders():
    image = np.full((6, 8, 3), 100, np.uint8)
    label = np.zeros((6, 8), np.uint8)
    label[:, 4:] = 1
    drawn = overlay(image, label, PALETTE, strength=0.5)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert drawn[2, 1].tolist() == [178, 50, 50]
    assert drawn[2, 6].tolist() == [50, 178, 50]
    assert drawn[2, 3].sum() < drawn[2, 1].sum() / 2  # the line between them is dark
    assert np.array_equal(overlay(image, label, PALETTE, strength=0.0)[0, 0], image[0, 0])


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

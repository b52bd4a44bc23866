"""Masks whose palette was renumbered: the values are found, or the file is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from psp.data.card import IGNORE
from psp.errors import PspError
from psp.images.labels import decode_label
from psp.prepare.palettes import labels_by_palette

TABLE = np.full(1 << 16, -1, np.int16)
TABLE[[0, 1, 2]] = 0, 1, 2
TABLE[255] = IGNORE
COLORS = {0x808080: [0], 0x00FF00: [1], 0x0000FF: [2]}
NAMES = ("road", "grass", "sky")


def palette_file(indices, palette, kind="PNG"):
    picture = Image.fromarray(indices).convert("P")
    picture.frombytes(indices.tobytes())
    picture.putpalette([value for color in palette for value in color])
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"optimize": False} if kind == "GIF" else {}))
    return buffer.getvalue()


def read(data, table=TABLE, colors=COLORS):
    return labels_by_palette(decode_label(data, "m.x"), data, "m.x", table, colors, NAMES)


def test_two_classes_of_one_color_are_both_right(rng):
    """Also where that color is a gray, and no others occur; a third class in it is not."""
    shared = {0x808080: [0, 2], 0x00FF00: [1]}
    for present in ([0, 2], [0, 1, 2]):
        ids = rng.choice(np.array(present, "u1"), (20, 30))
        data = palette_file(ids, [(128, 128, 128), (0, 255, 0), (128, 128, 128)])
        assert np.array_equal(read(data, colors=shared), ids)
    data = palette_file(ids, [(128, 128, 128), (128, 128, 128), (0, 255, 0)])
    with pytest.raises(PspError, match=r"value 1 .*'road' and 'sky'.*'grass'"):
        read(data, colors=shared)


@pytest.mark.parametrize("used", [(0, 2), (1, 2), (0, 255)])
def test_a_gif_of_grays_that_pillow_saved_is_not_taken_for_other_classes(rng, used):
    ids = rng.choice(np.array(used, "u1"), (20, 30))
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, "GIF")  # writes the grays that are used into the palette
    with pytest.raises(PspError, match=r"m\.x.*gray.*gray PNG"):
        read(buffer.getvalue())


def test_grays_are_read_where_the_indices_are_no_labels(rng):
    ids = rng.choice(np.array([1, 2], "u1"), (20, 30))
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, "GIF")
    table = TABLE.copy()
    table[0] = -1
    assert np.array_equal(read(buffer.getvalue(), table), ids)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
@pytest.mark.parametrize(
    "palette",
    [
        [(9, 200, 3), (1, 2, 250), (7, 7, 7)],  # in colors
        [(0, 0, 0), (1, 1, 1), (2, 2, 2)],  # each gray is its own place
        [(30, 30, 30), (99, 99, 99), (200, 200, 200)],  # grays that are no labels
    ],
)
def test_indices_are_the_labels_of_every_other_palette(rng, palette, kind):
    ids = rng.integers(0, 3, (20, 30)).astype("u1")
    assert np.array_equal(read(palette_file(ids, palette, kind)), ids)


def test_black_and_white_are_two_classes_in_a_png(rng):
    ids = rng.integers(0, 2, (20, 30)).astype("u1")
    assert np.array_equal(read(palette_file(ids, [(0, 0, 0), (255, 255, 255)])), ids)


def test_a_class_in_another_classs_color_is_refused(rng):
    ids = rng.integers(0, 2, (20, 30)).astype("u1")
    with pytest.raises(PspError, match=r"m\.x.*value 1.*'sky'.*'grass'"):
        read(palette_file(ids, [(128, 128, 128), (0, 0, 255)]))

"""Charts: they can be read at any number of classes, and names are texts, not formulas."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from psp.pages.confusion import draw_confusion, most_confused
from psp.pages.per_class import draw_per_class
from psp.pages.training_curves import draw_curves

NAMES = ["road", "$\\frac{$", "建物", "a\x1b[31mname\nof two lines", "x" * 300]


def size(data):
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        return picture.size


def many(classes):
    return [NAMES[index % len(NAMES)] for index in range(classes)]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 31])
def test_charts_of_few_and_many_classes_fit_a_page(classes):
    """No remark on a character that the font lacks, no name read as a formula."""
    rng = np.random.default_rng(classes)
    confusion = rng.integers(0, 1000, (classes, classes))
    confusion[1] = 0  # a class without labels
    iou = rng.random(classes)
    iou[1] = np.nan
    palette = [(10, 20, 30)] * classes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = [
            draw_confusion(confusion, many(classes), "title"),
            draw_per_class(many(classes), palette, iou, "title"),
        ]
    for data in drawn:
        width, height = size(data)
        assert 400 <= width <= 1200 and 100 <= height <= 1200
        assert len(data) < 300_000


def test_the_most_confused_classes_are_those_with_the_most_wrong_pixels():
    confusion = np.diag([1000] * 40)
    confusion[7, 33] = 5
    confusion[12, 12] = 10**9
    assert most_confused(confusion, 2) == [7, 33]
    assert len(most_confused(confusion, 30)) == 30
    assert most_confused(confusion[:30, :30], 30) == list(range(30))
    confusion[10:, 10:] = 0  # classes without any pixel
    assert most_confused(confusion, 30) == [*range(10), 33]
    assert most_confused(confusion * 0, 30)


@pytest.mark.slow
def test_curves_of_a_run_that_has_just_begun_and_of_changed_loss_terms():
    first = {"event": "step", "step": 2, "loss": 1.0, "main": 0.8, "aux": 0.4, "lr": 0.1}
    rest = {"images_per_second": 3.0, "seconds_left": 5.0}
    second = first | {"step": 4, "dice": 0.2}
    validation = {"event": "validation", "step": 4, "miou": 0.3, "pixel_accuracy": 0.6}
    for records in ([], [first | rest], [first | rest, second | rest, validation]):
        assert size(draw_curves(records, "run")) == (1000, 660)


@pytest.mark.slow
def test_a_users_own_style_of_matplotlib_stays_and_changes_nothing():
    import matplotlib

    plain = draw_curves([], "run")
    with matplotlib.rc_context({"figure.facecolor": "red", "axes.facecolor": "red"}):
        assert draw_curves([], "run") == plain
        assert matplotlib.rcParams["figure.facecolor"] == "red"

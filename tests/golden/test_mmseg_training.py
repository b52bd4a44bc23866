"""psp trains with the colors, places and rates that mmsegmentation computed for the same choices.

run_mmseg_training.py made mmseg_training.npz with mmsegmentation itself; its docstring says how.
"""

from pathlib import Path

import numpy as np
import pytest
from helpers.golden import beside

from psp.data.augment import Choice, limited
from psp.data.photometric import Distortion, distort
from psp.settings.augmentation import Augmentation
from psp.settings.optimizer import OptimizerSettings
from psp.train.optim import learning_rate

HERE = Path(__file__).parent
cases = beside(HERE, "mmseg_training_cases")


@pytest.fixture(scope="module")
def results():
    with np.load(HERE / "mmseg_training.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize("name", cases.DISTORTIONS)
def test_colors_are_mmsegmentations_bit_for_bit(results, name):
    found = distort(cases.picture(), Distortion(*cases.DISTORTIONS[name]))
    assert np.array_equal(found, results[f"distorted/{name}"])


class Drawn:
    """A generator that draws given places: shares of how far the crop can lie down and across."""

    def __init__(self, places, label):
        room = np.array(label.shape) - cases.CROP + 1
        self.places = [(np.array(place) + 0.5) / room for place in places]

    def random(self, count):
        assert count == 2
        return self.places.pop(0)


@pytest.mark.parametrize("name", cases.PLACES)
def test_crops_lie_where_mmsegmentation_takes_them(results, name):
    label, ((top, left), *others) = cases.label(name), cases.PLACES[name]
    settings = Augmentation(crop=cases.CROP, class_limit=cases.LIMIT)
    first = Choice(1.0, 0.0, False, False, top, left)
    found = limited(first, settings, label, Drawn(others, label))
    assert (found.top, found.left) == tuple(results[f"place/{name}"])


@pytest.mark.parametrize("name", cases.SCHEDULES)
def test_learning_rates_are_mmsegmentations(results, name):
    """Within one step of the schedule: since version 1.0 it divides by one step less."""
    lr, floor, power, steps, shown = cases.SCHEDULES[name]
    settings = OptimizerSettings(lr=lr, lr_min=floor, power=power, steps=steps)
    found = [learning_rate(step, settings) for step in shown]
    a_step = lr * (1 / steps) ** power
    assert np.abs(found - results[f"lr/{name}"]).max() <= 1.001 * a_step
    assert found[-1] >= floor and found[0] == lr

"""The levels of the pyramid, switched off by their means."""

import numpy as np
import pytest
import torch

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.inference import sliding_window
from psp.model.levels import Levels
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import Procedure
from psp.model.pspnet import build

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
PROCEDURE = Procedure(41, blend="taper")


def model(**choices):
    torch.manual_seed(0)
    network = build(Architecture(classes=7, backbone="resnet18", stem="7x7", **choices))
    torch.nn.init.normal_(network.head.classifier.weight)  # so that its classes are not all equal
    return sliding_window(network, Preprocessing(), CPU, torch.float32)


@pytest.fixture(scope="module")
def loaded():
    return model(bins=(1, 2, 3))


@pytest.fixture
def pictures(rng):
    return [rng.integers(0, 256, (50, 70, 3), dtype=np.uint8) for _ in range(3)]


@pytest.mark.slow
def test_with_all_levels_it_is_the_label_map_of_the_network(loaded, pictures):
    levels = Levels(loaded, PROCEDURE)
    maps = levels.label_maps(pictures[0], levels.means(pictures[1:]))
    assert len(maps) == 8
    assert np.array_equal(maps[-1], loaded.label_map(pictures[0], PROCEDURE).numpy())


@pytest.mark.slow
def test_a_level_is_off_when_its_mean_is_in_its_place(loaded, pictures):
    """As the whole network gives it whose level has those values for every picture."""
    levels = Levels(loaded, PROCEDURE)
    means = levels.means(pictures[1:])
    means = [mean + torch.randn_like(mean) for mean in means]  # far enough to change classes
    maps = levels.label_maps(pictures[0], means)
    for place, level in enumerate(loaded.network.head.conv.levels):
        mean = means[place]
        hook = level.register_forward_hook(lambda *call, mean=mean: mean.expand_as(call[2]))
        expected = loaded.label_map(pictures[0], PROCEDURE).numpy()
        hook.remove()
        assert np.array_equal(maps[0b111 - (1 << place)], expected)
        assert not np.array_equal(expected, maps[-1])


@pytest.mark.slow
def test_means_are_over_all_windows_of_all_pictures(loaded, pictures):
    seen = []
    level = loaded.network.head.conv.levels[1]
    hook = level.register_forward_hook(lambda *call: seen.extend(call[2].double()))
    for picture in pictures:
        loaded.label_map(picture, PROCEDURE)
    hook.remove()
    mean = Levels(loaded, PROCEDURE).means(pictures)[1]
    assert len(seen) > len(pictures)
    assert torch.allclose(mean[0].double(), torch.stack(seen).mean(0), atol=1e-6)


def test_no_pyramid_and_no_pictures_are_refused(loaded):
    with pytest.raises(PspError, match="levels"):
        Levels(model(bins=()), PROCEDURE)
    with pytest.raises(PspError, match="sample"):
        Levels(loaded, PROCEDURE).means([])

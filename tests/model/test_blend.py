"""Overlapping windows averaged so that no seam is seen, and what stays as the authors have it."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import psp.model.inference
from psp.model.inference import SlidingWindow
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import Procedure
from psp.model.pspnet import Logits
from psp.model.windows import scaled_views

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def context(images):
    """Logits that depend on the whole window, as the pyramid's do: each window has another."""
    mean = images.mean((2, 3), keepdim=True).expand(-1, -1, images.shape[2] // 8 + 1, 12)
    return Logits(3 * F.interpolate(mean, (6, 6)), None)


def model(network=context):
    return SlidingWindow(network, 3, Preprocessing(), CPU)


def jump(probabilities):
    """Return the largest step from a pixel to its right or lower neighbor."""
    across = (probabilities[:, :, 1:] - probabilities[:, :, :-1]).abs().max()
    down = (probabilities[:, 1:] - probabilities[:, :-1]).abs().max()
    return max(across, down)


@pytest.mark.parametrize("size", [(60, 100), (41, 100), (43, 60), (130, 41)])
def test_tapered_windows_leave_no_seam(rng, size):
    """Windows that disagree: uniform, the result jumps where one ends; tapered, it does not."""
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size)
    image = (ramp[..., None] * (1, 0.5, 0.2)).astype(np.uint8)
    uniform = model().probabilities(image, Procedure(41))
    tapered = model().probabilities(image, Procedure(41, blend="taper"))
    assert (tapered.sum(0) - 1).abs().max() <= 1e-5
    assert jump(tapered) < jump(uniform) / 3


def test_where_one_window_covers_a_pixel_nothing_changes(rng):
    image = rng.integers(0, 256, (60, 100, 3), dtype=np.uint8)
    uniform = model().probabilities(image, Procedure(41))
    tapered = model().probabilities(image, Procedure(41, blend="taper"))
    difference = (uniform - tapered).abs()
    assert difference[:, :19, :28].max() <= 1e-6  # the corner of the first
    assert difference[:, 41:, 97:].max() <= 1e-6  # and of the last
    assert difference[:, 19:41, 28:41].max() > 1e-3
    one = rng.integers(0, 256, (30, 41, 3), dtype=np.uint8)
    both = [
        model().probabilities(one, Procedure(41, blend=blend)) for blend in ("uniform", "taper")
    ]
    assert torch.equal(*both)


def test_the_weights_are_nowhere_zero_and_not_less_at_the_pictures_border():
    for length in (41, 42, 60, 200):
        _, across, _ = scaled_views((41, length), Procedure(41, blend="taper"))[0]
        positions = np.arange(length)
        for start in across.starts:
            weights = across.weights(positions, start)
            inside = (positions >= start) & (positions < start + 41)
            assert (weights[inside] > 0).all() and (weights[~inside] == 0).all()
            assert weights.max() == 1
            assert start > 0 or weights[0] == 1
            assert start < across.starts[-1] or weights[-1] == 1
        assert (across.totals(positions) > 0).all()


def test_tapered_labels_do_not_depend_on_tiles(rng, monkeypatch):
    image = rng.integers(0, 256, (63, 110, 3), dtype=np.uint8)
    procedure = Procedure(41, None, (0.8, 1.25), flip=True, blend="taper")
    usual = model().probabilities(image, procedure)
    monkeypatch.setitem(psp.model.inference.TILE, "cpu", 500)
    monkeypatch.setattr(psp.model.inference, "TILE_ROWS", 9)
    monkeypatch.setattr(psp.model.inference, "KEPT", 1)
    assert torch.allclose(model().probabilities(image, procedure), usual, atol=1e-6)


def test_labels_say_the_blend():
    assert Procedure(41, blend="taper").label == "ss-taper"
    assert "tapered" in Procedure(41, blend="taper").description
    assert "tapered" not in Procedure(41).description

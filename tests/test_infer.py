"""Windows, scales and flips: a network that returns its input must survive them all."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from psp.errors import PspError
from psp.infer import PAPER_SCALES, Protocol, Segmenter
from psp.model import Logits
from psp.preprocessing import Preprocessing
from psp.views import scaled_size, starts

CPU = torch.device("cpu")


def identity(images):
    """Logits of a pixel are a function of that pixel alone."""
    return Logits(images, None)


def convolution():
    """A network whose pixels look around, so that windows and flips matter."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 4, 9, padding=4)
    return lambda images: Logits(layer(images), None)


def model(network=identity, classes=3):
    return Segmenter(network, classes, Preprocessing(), CPU)


def expected(image):
    pixels = Preprocessing()(torch.from_numpy(image)[None])
    return pixels[0].softmax(0)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 200), (40, 41), (41, 41), (42, 41), (97, 130), (200, 53)]
)
def test_an_identity_network_survives_windows_and_flips(rng, size, flip):
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    found = model().probabilities(image, Protocol(41, flip=flip))
    assert found.shape == (3, *size)
    assert torch.allclose(found, expected(image), atol=1e-6)


@pytest.mark.parametrize("scales", [(0.5,), (2.0,), PAPER_SCALES])
@pytest.mark.parametrize("base_size", [None, 70])
def test_a_flat_picture_stays_flat_at_every_scale(scales, base_size):
    image = np.full((50, 93, 3), (10, 90, 200), np.uint8)
    found = model().probabilities(image, Protocol(41, base_size, scales, flip=True))
    assert torch.allclose(found, expected(image), atol=1e-5)


def test_probabilities_sum_to_one_for_any_size(rng):
    network = convolution()
    for _ in range(12):
        size = tuple(rng.integers(1, 120, 2))
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        protocol = Protocol(41, scales=(0.75, 1.25), flip=True)
        found = model(network, 4).probabilities(image, protocol)
        assert found.shape == (4, *size)
        assert (found.sum(0) - 1).abs().max() <= 1e-5


def test_output_size_equals_input_size_for_hundreds_of_sizes(rng):
    for _ in range(200):
        size = tuple(rng.integers(1, 260, 2))
        base = int(rng.integers(20, 300)) if rng.random() < 0.5 else None
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        found = model().label_map(image, Protocol(41, base, (float(rng.uniform(0.5, 1.75)),)))
        assert found.shape == size
        assert found.dtype == torch.uint8


def test_flipping_the_picture_flips_the_labels(rng):
    network = convolution()
    image = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    protocol = Protocol(89, flip=True)
    straight = model(network, 4).probabilities(image, protocol)
    mirrored = model(network, 4).probabilities(image[:, ::-1], protocol)
    assert torch.allclose(straight, mirrored.flip(2), atol=1e-5)


@pytest.mark.parametrize("together", [1, 2, 3, 7, 100])
def test_the_number_of_windows_at_a_time_changes_nothing(rng, together):
    network = convolution()
    image = rng.integers(0, 256, (70, 100, 3), dtype=np.uint8)
    protocol = Protocol(41, flip=True)
    usual = model(network, 4).probabilities(image, protocol)
    for constant in (False, True):
        other = replace(model(network, 4), window_batch=together, constant=constant)
        assert torch.allclose(other.probabilities(image, protocol), usual, atol=1e-5)


@pytest.mark.parametrize("crop", [41, 185, 473, 713])
def test_windows_follow_the_authors_grid(crop):
    """Stride ceil(2/3 crop); ceil((N - crop) / stride) + 1 windows, the last at the border."""
    for length in range(crop, 4 * crop, 13):
        found = list(starts(length, crop))
        stride = math.ceil(crop * 2 / 3)
        assert len(found) == math.ceil((length - crop) / stride) + 1
        assert found[0] == 0
        assert found[-1] == length - crop
        assert all(b - a <= stride for a, b in itertools.pairwise(found))


def test_cityscapes_needs_the_authors_81_windows():
    """The paper's six scales of 1024x2048 at crop 713: 2, 6, 8, 15, 18 and 32 windows."""
    counts = []
    for scale in PAPER_SCALES:
        height, width = (max(side, 713) for side in scaled_size((1024, 2048), scale, 2048, "torch"))
        counts.append(len(list(starts(height, 713))) * len(list(starts(width, 713))))
    assert counts == [2, 6, 8, 15, 18, 32]


def test_sizes_at_a_scale_follow_the_long_side():
    assert scaled_size((300, 400), 1.0, 512, "torch") == (384, 512)
    assert scaled_size((400, 300), 1.0, 512, "torch") == (512, 384)
    assert scaled_size((300, 400), 0.5, None, "torch") == (150, 200)
    assert scaled_size((1, 1000), 0.5, None, "torch") == (1, 500)


def test_a_small_picture_is_padded_with_the_mean_around_it():
    seen = []

    def spy(images):
        seen.append(images.clone())
        return Logits(images, None)

    image = np.full((10, 21, 3), 255, np.uint8)
    model(spy).probabilities(image, Protocol(41))
    (window,) = seen
    assert window.shape == (1, 3, 41, 41)
    inside = window[0, 0] != 0
    assert inside[15:25, 10:31].all() and inside.sum() == 10 * 21


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": 100}, "--crop 100: a window must be 8n\\+1. Nearest good ones: 89 or 137"),
        ({"crop": 41, "scales": (0.0,)}, "--scales"),
        ({"crop": 41, "base_size": 0}, "--base-size 0"),
    ],
)
def test_a_bad_protocol_is_said(fields, message):
    with pytest.raises(PspError, match=message):
        Protocol(**fields)


def test_names_of_protocols():
    assert Protocol(41).name == "ss"
    assert Protocol(41, flip=True, scales=PAPER_SCALES).name == "ms-flip"
    assert Protocol(41, scales=(1.0, 1.5)).name == "s1_1.5"

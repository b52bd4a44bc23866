"""Windows of any shape, whole pictures, sizes by either side, and which procedure is taken."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.choice import Choice
from psp.model.inference import SlidingWindow
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import Procedure, Published
from psp.model.procedures.registry import PROCEDURES
from psp.model.pspnet import Logits
from psp.model.weights import Header

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


class Network:
    """A convolution that remembers the sizes it was given."""

    def __init__(self):
        torch.manual_seed(0)
        self.layer = torch.nn.Conv2d(3, 4, 9, stride=8, padding=4)
        self.sizes = set()

    @torch.no_grad()
    def __call__(self, images):
        self.sizes.add((images.shape[3], images.shape[2]))
        return Logits(5 * self.layer(images), None)


def model(network, align_corners=True):
    return SlidingWindow(
        network, 4, Preprocessing(), CPU, align_corners=align_corners, window_batch=3
    )


def header(align_corners=True, **fields):
    usual = {
        "architecture": Architecture(
            classes=4, backbone="resnet18", stem="deep", align_corners=align_corners
        ),
        "classes": tuple("abcd"),
        "palette": ((0, 0, 0),) * 4,
        "dataset": "four",
        "data": "",
        "crop": 41,
        "base_size": 64,
        "step": 0,
    }
    return Header(**{**usual, **fields})


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(60, 90), (41, 57), (33, 20)])
def test_a_whole_picture_is_one_pass(rng, size, align_corners):
    """Unpadded, or, where corners align, padded with the mean around it to sides of 8n+1."""
    image, network = rng.integers(0, 256, (*size, 3), dtype=np.uint8), Network()
    found = model(network, align_corners).probabilities(image, Procedure(41, windows="whole"))
    pixels = Preprocessing()(torch.from_numpy(image)[None])
    more = [-(side - 1) % 8 if align_corners else 0 for side in size]
    top, left = (side // 2 for side in more)
    padded = F.pad(pixels, (left, more[1] - left, top, more[0] - top))
    assert network.sizes == {(padded.shape[3], padded.shape[2])}
    logits = F.interpolate(
        network(padded).main, padded.shape[2:], mode="bilinear", align_corners=align_corners
    )
    expected = logits.softmax(1)[0, :, top : top + size[0], left : left + size[1]]
    assert (found - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("stride", [None, "20x30"])
def test_rectangles_are_width_by_height(rng, stride):
    image, network = rng.integers(0, 256, (70, 130, 3), dtype=np.uint8), Network()
    procedure = Procedure(41, windows="65x41", stride=stride, flip=True)
    found = model(network).probabilities(image, procedure)
    assert network.sizes == {(65, 41)}
    across, down = (20, 30) if stride else (44, 28)
    total, count = torch.zeros(4, 70, 130), torch.zeros(70, 130)
    pixels = Preprocessing()(torch.from_numpy(image)[None])
    for y in sorted({min(y, 29) for y in range(0, 29 + down, down)}):
        for x in sorted({min(x, 65) for x in range(0, 65 + across, across)}):
            part = pixels[:, :, y : y + 41, x : x + 65]
            for mirror in (False, True):
                logits = network(part.flip(3) if mirror else part).main
                up = F.interpolate(logits, (41, 65), mode="bilinear", align_corners=True)
                up = up.flip(3) if mirror else up
                total[:, y : y + 41, x : x + 65] += up.softmax(1)[0] / 2
            count[y : y + 41, x : x + 65] += 1
    assert (found - total / count).abs().max() <= 1e-5


def test_other_sides_than_8n_plus_1_are_for_networks_that_do_not_align_corners(rng):
    image, network = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8), Network()
    with pytest.raises(PspError, match="64x40.*8n"):
        model(network).probabilities(image, Procedure(41, windows="64x40"))
    with pytest.raises(PspError, match="64x40.*8n"):
        Choice(windows="64x40")(header())
    procedure = Choice(windows="64x40")(header(align_corners=False))
    assert model(network, False).probabilities(image, procedure).shape == (4, 60, 90)
    assert network.sizes == {(64, 40)}
    assert Choice(crop=40)(header(align_corners=False)).windows == "40x40"
    with pytest.raises(PspError, match="--crop 40"):
        Choice(crop=40)(header())


def test_a_picture_that_is_too_large_as_a_whole_is_refused_with_the_way_out(rng):
    image = np.zeros((3000, 3000, 3), np.uint8)
    with pytest.raises(PspError, match="3000x3000.*--windows square"):
        next(model(Network()).tiles(image, Procedure(41, windows="whole")))


@pytest.mark.parametrize(
    ("resize", "size", "after"),
    [
        ("short:50", (100, 200), (50, 100)),
        ("short:50", (200, 100), (100, 50)),
        ("120x50", (100, 200), (50, 100)),
        ("120x50", (100, 400), (30, 120)),
        ("120x50", (400, 100), (120, 30)),  # the box is turned as the picture is
        ("50x120", (100, 200), (50, 100)),
    ],
)
@pytest.mark.parametrize("name", ["torch", "mmseg"])
def test_pictures_become_as_large_as_fits(resize, size, after, name):
    procedure = Procedure(41, name=name, resize=resize)
    assert procedure.rules.size(size, 1.0, procedure.target(max(size))) == after


@pytest.mark.parametrize("name", PROCEDURES)
@pytest.mark.parametrize("size", [(1, 1), (1, 60), (50, 2)])
def test_pictures_of_a_pixel_or_two_survive_every_procedure(rng, size, name):
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    procedure = Procedure(41, name=name, windows="whole", scales=(0.5, 1.0), flip=True)
    for align_corners in (True, False):
        found = model(Network(), align_corners).probabilities(image, procedure)
        assert found.shape == (4, *size) and (found.sum(0) - 1).abs().max() <= 1e-5


def test_a_procedure_fixes_all_and_options_override_it():
    plain = Choice()(header())
    assert (plain.name, plain.flip, plain.blend, plain.base_size) == ("torch", True, "uniform", 64)
    predicting = Choice(predicting=True)(header())
    assert (predicting.flip, predicting.blend) == (False, "taper")
    named = Choice(named="caffe", predicting=True)(header())
    assert (named.flip, named.blend, named.changed) == (True, "uniform", ())
    ours = header(procedure=Published("mmseg", "97x65", "65x44", "200x100"))
    carried = Choice(predicting=True)(ours)
    assert (carried.windows, carried.stride, carried.resize) == ("97x65", "65x44", "200x100")
    assert (carried.flip, carried.blend, carried.changed) == (False, "uniform", ())
    several = Choice(multi_scale=True)(ours)
    assert several.flip and (several.resize, several.base_size) == (None, None)  # its own size
    older = Choice(named="mmseg-0.x", multi_scale=True)(ours)
    assert older.flip and (older.resize, older.windows) == ("200x100", "97x65")
    other = Choice(named="torch")(ours)
    assert (other.windows, other.base_size, other.resize) == ("square", 64, None)
    changed = Choice(windows="whole", resize="short:50", blend="taper", flip=True)(ours)
    assert len(changed.changed) == 4 and "changed: " in changed.description
    assert replace(changed, changed=()) == changed  # it is only said


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"windows": "683"}, "--windows 683.*square.*whole.*WIDTHxHEIGHT"),
        ({"windows": "8x41"}, "--windows 8x41"),
        ({"windows": "whole", "stride": "20"}, "--stride 20"),
        ({"stride": "42"}, "--stride 42.*41x41"),
        ({"stride": "0"}, "--stride 0"),
        ({"resize": "512"}, "--resize 512.*short:N"),
        ({"resize": "short:0"}, "--resize short:0"),
        ({"blend": "hann"}, "--blend hann.*uniform.*taper"),
        ({"name": "matlab"}, f"--procedure matlab.*{'.*'.join(PROCEDURES)}"),
    ],
)
def test_what_cannot_be_is_said(fields, message):
    with pytest.raises(PspError, match=message):
        Procedure(41, **fields)


def test_options_that_contradict_each_other_are_said():
    for options in (
        {"crop": 41, "windows": "whole"},
        {"base_size": 64, "resize": "long:64"},
        {"scales": (0.5,), "multi_scale": True},
    ):
        with pytest.raises(PspError, match="--"):
            Choice(**options)

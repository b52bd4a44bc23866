"""Windows, scales and flips: a network that returns its input must survive them all."""

import itertools
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import psp.model.inference
from psp import device
from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.inference import SlidingWindow, sliding_window
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import PAPER_SCALES, Procedure, other_scale
from psp.model.pspnet import Logits, build
from psp.model.windows import scaled_size, starts

pytestmark = pytest.mark.usefixtures("one_thread")

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
    return SlidingWindow(network, classes, Preprocessing(), CPU)


def expected(image):
    pixels = Preprocessing()(torch.from_numpy(image)[None])
    return pixels[0].softmax(0)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 200), (40, 41), (41, 41), (42, 41), (97, 130), (200, 53)]
)
def test_an_identity_network_survives_windows_and_flips(rng, size, flip):
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    found = model().probabilities(image, Procedure(41, flip=flip))
    assert found.shape == (3, *size)
    assert torch.allclose(found, expected(image), atol=1e-6)


@pytest.mark.parametrize("scales", [(0.5,), (2.0,), PAPER_SCALES])
@pytest.mark.parametrize("base_size", [None, 70])
def test_a_flat_picture_stays_flat_at_every_scale(scales, base_size):
    image = np.full((50, 93, 3), (10, 90, 200), np.uint8)
    found = model().probabilities(image, Procedure(41, base_size, scales, flip=True))
    assert torch.allclose(found, expected(image), atol=1e-5)


def test_probabilities_sum_to_one_for_any_size(rng):
    network = convolution()
    for _ in range(12):
        size = tuple(rng.integers(1, 120, 2))
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        procedure = Procedure(41, scales=(0.75, 1.25), flip=True)
        found = model(network, 4).probabilities(image, procedure)
        assert found.shape == (4, *size)
        assert (found.sum(0) - 1).abs().max() <= 1e-5


@pytest.mark.slow
def test_output_size_equals_input_size_for_hundreds_of_sizes(rng):
    for _ in range(200):
        size = tuple(rng.integers(1, 260, 2))
        base = int(rng.integers(20, 200)) if rng.random() < 0.5 else None
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        found = model().label_map(image, Procedure(89, base, (float(rng.uniform(0.5, 1.75)),)))
        assert found.shape == size
        assert found.dtype == torch.uint8


def test_flipping_the_picture_flips_the_labels(rng):
    network = convolution()
    image = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    procedure = Procedure(89, flip=True)
    straight = model(network, 4).probabilities(image, procedure)
    mirrored = model(network, 4).probabilities(image[:, ::-1], procedure)
    assert torch.allclose(straight, mirrored.flip(2), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "procedure"),
    [
        ((69, 97), Procedure(41, flip=True)),  # windows at 0, 28 and at 0, 28, 56: symmetric
        ((41, 41), Procedure(41, scales=(40 / 41,), flip=True, name="caffe")),  # without padding
    ],
)
def test_flipping_the_picture_flips_the_argmax(rng, size, procedure):
    """Wherever it is no close call."""
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    parse = model(convolution(), 4)
    straight = parse.probabilities(image, procedure)
    mirrored = parse.label_map(image[:, ::-1], procedure).flip(1)
    first, second = straight.topk(2, dim=0).values
    clear = first - second > 1e-5
    assert clear.float().mean() > 0.99
    assert torch.equal(straight.argmax(0)[clear], mirrored.long()[clear])


def test_a_segmenter_leaves_its_network_as_it_is(rng):
    torch.manual_seed(0)
    network = build(Architecture(classes=3, backbone="resnet18", stem="deep")).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parse = psp.model.inference.sliding_window(network, Preprocessing(), CPU, torch.bfloat16)
    parse.label_map(rng.integers(0, 256, (50, 60, 3), dtype=np.uint8), Procedure(41))
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert network.training and network.aux is not None
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("flags : fpu avx512f avx512_bf16 gfni", torch.bfloat16),
        ("flags : fpu amx_bf16 amx_tile", torch.bfloat16),
        ("flags : fpu avx512f avx512_vnni", torch.float32),
        (None, torch.float32),  # no Linux
    ],
)
def test_auto_takes_bf16_only_where_the_processor_has_it(monkeypatch, tmp_path, flags, precision):
    if flags:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    monkeypatch.setattr(device, "CPUINFO", tmp_path / "cpuinfo")
    assert device.pick_inference_precision("auto", CPU) == precision
    assert device.pick_inference_precision("fp32", CPU) == torch.float32
    assert device.pick_precision("auto", CPU) == torch.float32  # training


@pytest.mark.parametrize("together", [1, 2, 3, 7, 100])
def test_the_number_of_windows_at_a_time_changes_nothing(rng, together):
    network = convolution()
    image = rng.integers(0, 256, (70, 100, 3), dtype=np.uint8)
    procedure = Procedure(41, flip=True)
    usual = model(network, 4).probabilities(image, procedure)
    for constant in (False, True):
        other = replace(model(network, 4), window_batch=together, constant=constant)
        assert torch.allclose(other.probabilities(image, procedure), usual, atol=1e-5)


def test_a_picture_does_not_know_of_the_others(rng):
    """Whatever was parsed before, and in which order: the same bits."""
    images = [
        rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((70, 100), (9, 9), (1, 50))
    ]
    procedure = Procedure(41, 60, (0.75, 1.5), flip=True)
    parse = model(convolution(), 4)
    forth = [parse.probabilities(image, procedure) for image in images]
    back = [parse.probabilities(image, procedure) for image in images[::-1]][::-1]
    assert all(map(torch.equal, forth, back))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["torch", "caffe"])
@pytest.mark.parametrize("size", [(1, 1), (63, 110), (190, 7), (7, 190)])
def test_labels_by_tiles_are_the_argmax_of_the_probabilities(rng, monkeypatch, size, way):
    """Exactly, however small the bands and strips are; and those change nothing either."""
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    procedure = Procedure(41, None, (0.8, 1.25), flip=True, name=way)
    parse = model(convolution(), 4)
    usual = parse.probabilities(image, procedure)
    assert torch.equal(parse.label_map(image, procedure), usual.argmax(0).to(torch.uint8))
    monkeypatch.setitem(psp.model.inference.TILE, "cpu", 500)
    monkeypatch.setattr(psp.model.inference, "TILE_ROWS", 9)
    monkeypatch.setattr(psp.model.inference, "KEPT", 1)
    with torch.inference_mode():
        tiles = list(parse.tiles(image, procedure))
    assert len(tiles) >= max(1, size[0] // 16) * max(1, size[1] // 41)
    small = parse.probabilities(image, procedure)
    assert torch.allclose(small, usual, atol=1e-6)
    assert torch.equal(parse.label_map(image, procedure), small.argmax(0).to(torch.uint8))


def test_every_window_goes_through_the_network_once(rng):
    seen = []

    def spy(images):
        seen.append(len(images))
        return Logits(images, None)

    image = rng.integers(0, 256, (100, 130, 3), dtype=np.uint8)
    procedure = Procedure(41, None, (0.5, 1.0, 2.0), flip=True)
    replace(model(spy), window_batch=6).label_map(image, procedure)
    expected = sum(
        len(list(starts(max(41, round(s * 100)), 41)))
        * len(list(starts(max(41, round(s * 130)), 41)))
        for s in procedure.scales
    )
    assert sum(seen) == 2 * expected
    assert set(seen[:-1]) == {6}  # across scales
    seen.clear()
    replace(model(spy), window_batch=6, constant=True).label_map(image, procedure)
    assert set(seen) == {6}


def imresize(maps, size):
    """MATLAB's imresize, bilinear, as its documentation and source say; (..., h, w) float64."""
    for axis, wanted in ((-2, size[0]), (-1, size[1])):
        length = maps.shape[axis]
        scale = wanted / length
        sharp = min(scale, 1)  # the triangle widens where the picture shrinks
        matrix = torch.zeros(wanted, length, dtype=torch.float64)
        mirrored = [*range(length), *reversed(range(length))]
        for out in range(1, wanted + 1):
            center = out / scale + 0.5 * (1 - 1 / scale)
            for place in range(math.floor(center - 1 / sharp), math.ceil(center + 1 / sharp) + 1):
                weight = max(0, 1 - abs(center - place) * sharp)
                matrix[out - 1, mirrored[(place - 1) % (2 * length)]] += weight
        matrix /= matrix.sum(1, keepdim=True)
        maps = (matrix @ maps.transpose(axis, -2)).transpose(axis, -2)
    return maps


def by_hand(network, image, procedure):
    """The procedures of semseg and of the Caffe release on whole maps in float64, step by step."""
    caffe, crop = procedure.name == "caffe", procedure.crop

    def resize(maps, size):
        return imresize(maps, size) if caffe else F.interpolate(maps, size, mode="bilinear")

    height, width = image.shape[:2]
    total = 0
    for scale in procedure.scales:
        h, w = scaled_size((height, width), scale, procedure.base_size, procedure.name)
        picture = torch.from_numpy(image).permute(2, 0, 1)[None].double()
        picture = resize(picture, (h, w))
        pre = Preprocessing()
        picture = (picture - torch.tensor(pre.mean)[:, None, None]) / torch.tensor(pre.std)[
            :, None, None
        ]
        down, right = max(crop - h, 0), max(crop - w, 0)
        top, left = (0, 0) if caffe else (down // 2, right // 2)
        picture = F.pad(picture, (left, right - left, top, down - top)).float()
        found = torch.zeros(1, 4, *picture.shape[2:], dtype=torch.float64)
        count = torch.zeros(picture.shape[2:])
        for y in starts(picture.shape[2], crop):
            for x in starts(picture.shape[3], crop):
                place = (..., slice(y, y + crop), slice(x, x + crop))
                views = [picture[place], picture[place].flip(3)][: 1 + procedure.flip]
                scores = [
                    F.interpolate(
                        network(v).main.double(), (crop, crop), mode="bilinear", align_corners=True
                    )
                    for v in views
                ]
                if procedure.flip:
                    scores[1] = scores[1].flip(3)
                if caffe:
                    found[place] += sum(scores).softmax(1)
                else:
                    found[place] += sum(s.softmax(1) for s in scores) / len(scores)
                count[place] += 1
        found = (found / count)[..., top : top + h, left : left + w]
        total = total + resize(found, (height, width))
    return total[0] / len(procedure.scales)


@pytest.mark.parametrize("way", ["torch", "caffe"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(60, 90), (90, 60), (20, 33), (50, 50)])
def test_both_procedures_are_what_whole_maps_give_step_by_step(rng, size, flip, way):
    torch.manual_seed(1)
    layer = torch.nn.Conv2d(3, 4, 9, stride=8, padding=4)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    procedure = Procedure(41, 64, (0.5, 1.0, 1.75), flip, way)

    def network(images):
        return Logits(5 * layer(images), None)

    with torch.no_grad():
        expected = by_hand(network, image, procedure)
    difference = (model(network, 4).probabilities(image, procedure) - expected).abs()
    assert difference.max() <= 1e-5


def test_the_caffe_way_is_one_pixel_longer_and_pads_below_and_right():
    assert scaled_size((300, 400), 1.0, 512, "caffe") == (385, 513)
    assert scaled_size((400, 300), 0.5, 512, "caffe") == (257, 193)
    seen = []

    def spy(images):
        seen.append(images.clone())
        return Logits(images, None)

    image = np.full((10, 20, 3), 255, np.uint8)
    model(spy).probabilities(image, Procedure(41, name="caffe"))
    inside = seen[0][0, 0] != 0
    assert inside[:10, :21].sum() == inside.sum() >= 10 * 21


@pytest.mark.slow
def test_label_maps_need_no_memory_for_probabilities():
    """3 megapixels of 150 classes: their probabilities would take 1.8 GB."""
    program = """
import resource, numpy, torch
from psp.model.inference import SlidingWindow, sliding_window
from psp.model.procedure import Procedure
from psp.model.preprocessing import Preprocessing
from psp.model.pspnet import Logits

torch.set_num_threads(1)
layer = torch.nn.Conv2d(3, 150, 1, stride=8)
parse = SlidingWindow(lambda x: Logits(layer(x), None), 150, Preprocessing(), torch.device("cpu"))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
parse.label_map(numpy.zeros((300, 500, 3), numpy.uint8), Procedure(473))
before = peak()
parse.label_map(numpy.zeros((1000, 3000, 3), numpy.uint8), Procedure(473))
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 300  # MB


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
    model(spy).probabilities(image, Procedure(41))
    (window,) = seen
    assert window.shape == (1, 3, 41, 41)
    inside = window[0, 0] != 0
    assert inside[15:25, 10:31].all() and inside.sum() == 10 * 21


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": 100}, "--crop 100: a window must be 8n\\+1. Nearest good ones: 89 or 137"),
        ({"crop": 41, "scales": (0.0,)}, "--scales"),
        ({"crop": 41, "scales": (1.0, 0.5, 1.0)}, "one of them stands twice"),
        ({"crop": 41, "base_size": 0}, "--base-size 0"),
        ({"crop": 41, "name": "matlab"}, "--procedure matlab.*torch.*caffe"),
    ],
)
def test_a_bad_procedure_is_said(fields, message):
    with pytest.raises(PspError, match=message):
        Procedure(**fields)


def test_labels_of_procedures():
    assert Procedure(41).label == "ss"
    assert Procedure(41, flip=True, scales=PAPER_SCALES).label == "ms-flip"
    assert Procedure(41, scales=(1.0, 1.5)).label == "s1_1.5"
    assert Procedure(41, flip=True, name="caffe").label == "ss-flip-caffe"


@pytest.mark.slow
@pytest.mark.parametrize(("size", "shrunk"), [((60, 90), True), ((40, 30), False)])
def test_pictures_are_shrunk_as_they_were_for_training_and_never_enlarged(rng, size, shrunk):
    network = build(Architecture(classes=3, backbone="resnet18", stem="deep"))
    model = sliding_window(network, Preprocessing(), torch.device("cpu"), torch.float32)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    found = model.probabilities(image, Procedure(41, max_side=48))
    base = 48 if shrunk else None
    assert torch.equal(found, model.probabilities(image, Procedure(41, base)))
    # Who names a base size means that one.
    both = model.probabilities(image, Procedure(41, 64, max_side=48))
    assert torch.equal(both, model.probabilities(image, Procedure(41, 64)))


@pytest.mark.parametrize(
    ("asked", "trained", "stored", "said"),
    [
        (None, (None, None), None, ()),
        (512, (512, None), 300, ()),  # the base size brings all pictures to one scale
        (None, (None, 300), 300, ()),
        (None, (None, 300), None, ()),  # larger ones are shrunk as they were
        (None, (None, 300), 640, ()),
        (None, (None, 300), 150, ("150", "300")),
        (None, (None, None), 150, ("150", "own size")),
        (800, (None, 300), None, ("800", "300")),
        (800, (512, None), None, ("800", "512")),
    ],
)
def test_another_scale_than_that_of_the_training_is_said(asked, trained, stored, said):
    base, side = trained
    procedure = Procedure(41, asked if asked is not None else base, max_side=side)
    remark = other_scale(procedure, base, side, stored)
    assert (remark is not None) == bool(said)
    assert all(word in (remark or "") for word in said)

"""psp.load: a trained network as a function of pictures."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.plain_nets import randomize
from PIL import Image

import psp as package
from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.inference import SlidingWindow
from psp.model.pspnet import build
from psp.model.weights import Header, save_weights


def test_load_takes_a_run_and_any_kind_of_picture(journey, tmp_path):
    predictor = package.load(journey.folder / "run", device="cpu")
    path = sorted((journey.folder / "raw/images/val").iterdir())[0]
    picture = Image.open(path)
    labels = predictor(path)
    assert labels.dtype == np.uint8 and labels.shape == (picture.height, picture.width)
    assert np.array_equal(predictor(picture), labels)
    assert np.array_equal(predictor(np.array(picture.convert("RGB"))), labels)
    saved = np.array(Image.open(journey.folder / "predicted/labels" / path.name))
    assert np.array_equal(saved, labels)
    assert len(predictor.classes) == len(predictor.palette) == 9
    probabilities = predictor.probabilities(path, scales=(0.5, 1.0), flip=True)
    assert probabilities.dtype == np.float32 and probabilities.shape == (9, *labels.shape)
    assert np.abs(probabilities.sum(0) - 1).max() < 1e-5
    assert not predictor.network.training


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"\(H, W, 3\).*uint8 \(4, 4\)"),
        (np.zeros((4, 4, 3)), r"\(H, W, 3\).*float64"),
        (np.zeros((0, 4, 3), np.uint8), r"\(H, W, 3\).*\(0, 4, 3\)"),
        (7, "path.*Pillow.*uint8"),
        ("nowhere.png", "nowhere.png: "),
    ],
)
def test_what_is_no_picture_is_said(journey, image, message):
    predictor = package.load(journey.folder / "run", device="cpu")
    with pytest.raises(PspError, match=message):
        predictor(image)


def test_load_of_nothing_is_said(tmp_path):
    with pytest.raises(PspError, match=r"nowhere: .*psp models"):
        package.load(tmp_path / "nowhere")
    with pytest.raises(PspError, match=r"'half': .*auto, fp32, bf16"):
        package.load(tmp_path, precision="half")


def net(tmp_path):
    """The path of a network of random weights, whose windows have a side of 41."""
    architecture = Architecture(
        backbone="resnet18", classes=9, stem="deep", bins=(1, 2), head_width=32
    )
    header = Header(
        architecture=architecture,
        classes=tuple("abcdefghi"),
        palette=((0, 0, 0),) * 9,
        dataset="d",
        data="",
        crop=41,
        base_size=None,
        step=0,
    )
    save_weights(tmp_path / "net.safetensors", randomize(build(architecture)).state_dict(), header)
    return tmp_path / "net.safetensors"


SIZES = [(41, 41), (30, 41), (20, 20), (60, 90), (41, 40), (41, 60), (1, 1), (41, 41), (41, 41)]


@pytest.mark.slow
def test_many_pictures_come_in_order_and_few_are_held(tmp_path, rng, one_thread):
    pictures = [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]
    predictor = package.load(net(tmp_path), "cpu", "fp32", window_batch=3)
    alone = [predictor(picture) for picture in pictures]
    asked = []

    def source():
        for index, picture in enumerate(pictures):
            asked.append(index)
            yield picture

    for index, label in enumerate(predictor.many(source())):
        assert label.shape == SIZES[index]
        assert np.mean(label == alone[index]) > 0.999  # a batch may be rounded otherwise
        assert asked[-1] <= index + 3
    assert index == len(SIZES) - 1
    assert list(predictor.many([])) == []


def test_windows_of_several_pictures_go_through_the_network_together(tmp_path, rng, monkeypatch):
    pictures = [rng.integers(0, 256, (41, 33, 3), np.uint8) for _ in range(7)]
    predictor = package.load(net(tmp_path), "cpu", "fp32", window_batch=4)
    batches = []
    plain = SlidingWindow.logits
    monkeypatch.setattr(
        SlidingWindow,
        "logits",
        lambda self, images, procedure: (
            batches.append(len(images)) or plain(self, images, procedure)
        ),
    )
    assert len(list(predictor.many(pictures))) == 7
    assert batches == [4, 3]


def test_a_picture_that_cannot_be_read_comes_after_those_before_it(tmp_path, rng):
    picture = rng.integers(0, 256, (41, 41, 3), np.uint8)
    results = package.load(net(tmp_path), "cpu", window_batch=8).many(
        [picture, picture, "none.png"]
    )
    assert next(results).shape == next(results).shape == (41, 41)
    with pytest.raises(PspError, match="none.png"):
        next(results)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_two_threads_get_the_results_of_one(tmp_path, rng, engine, one_thread):
    pytest.importorskip(engine)
    pictures = [rng.integers(0, 256, (57, 41 + 7 * n, 3), np.uint8) for n in range(6)]
    predictor = package.load(net(tmp_path), "cpu", "fp32", engine=engine)
    expected = [predictor(picture) for picture in pictures]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(predictor, pictures * 2))
    assert all(map(np.array_equal, found, expected * 2))

"""What the authors' own code computes for known weights, where PSP_TEST_GOLDEN names a folder.

Their files go the way a user's go: psp import, then psp.load.
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import psp as package
from psp.data.cardfile import find_card
from psp.model.procedure import Procedure
from psp.model.pspnet import upsample
from psp.predict.pipeline import PredictRequest, predict
from psp.predict.writers.registry import find_writers
from psp.zoo.import_weights import import_weights

CARD = find_card("voc2012")
pytestmark = pytest.mark.slow  # whole networks of 101 layers


@pytest.fixture(scope="module")
def golden():
    """The module that makes the weights and pictures of a seed, beside the numbers."""
    folder = os.environ.get("PSP_TEST_GOLDEN")
    if not folder:
        pytest.skip("PSP_TEST_GOLDEN names no folder of golden numbers")
    spec = importlib.util.spec_from_file_location("golden", Path(folder) / "golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(golden, name):
    return np.load(Path(golden.__file__).with_name(name))


def save_semseg(golden, numbers, path):
    tensors = {f"module.{key}": value for key, value in golden.weights(numbers).items()}
    torch.save({"epoch": 1, "state_dict": tensors}, path)


def worst(predictor, golden, numbers):
    """Return the largest difference of the logits, relative to their range."""
    size = tuple(map(int, numbers["hw"]))
    image = golden.image(int(numbers["seed"]), *size)
    pixels = predictor.header.preprocessing(torch.from_numpy(image)[None])
    with torch.inference_mode():
        full = upsample(predictor.network(pixels).main, size)[0].numpy()
    rows, columns = numbers["points"].T
    expected = numbers["logits"]
    return np.abs(full[:, rows, columns].T - expected).max() / (expected.max() - expected.min())


def test_the_logits_of_semsegs_pspnet_101(golden, tmp_path):
    numbers = read(golden, "semseg101_shared.npz")
    save_semseg(golden, numbers, tmp_path / "semseg.pth")
    found = import_weights(tmp_path / "semseg.pth", tmp_path / "w.safetensors", CARD)
    assert found.what == "a semseg PSPNet of 101 layers, with auxiliary head"
    predictor = package.load(tmp_path / "w.safetensors", "cpu", "fp32")
    for plain in (True, False):
        predictor.network.use_plain_head(plain)
        assert worst(predictor, golden, numbers) <= 1e-5


@pytest.fixture(scope="module")
def caffe(golden, tmp_path_factory):
    """The authors' pspnet101_VOC2012, imported."""
    folder = tmp_path_factory.mktemp("caffe")
    numbers = read(golden, "caffe101_shared.npz")
    source = folder / "any_name.caffemodel"
    source.write_bytes(golden.caffemodel(numbers))
    found = import_weights(source, folder / "w.safetensors", CARD)
    source.unlink()
    assert found.what == "the authors' Caffe PSPNet of 101 layers, stride in the 3x3"
    assert (found.crop, found.unused) == (473, ())
    return folder / "w.safetensors", numbers


def bgr(predictor):
    weight = predictor.network.backbone.conv1.weight
    weight.data = weight.flip(1)


def mean(predictor):
    header = predictor.header
    object.__setattr__(header.preprocessing, "mean", header.preprocessing.mean[::-1])


def pyramid(predictor):
    weight = predictor.network.head.conv.conv.weight
    deep, *levels = torch.split(weight.data, [2048, 512, 512, 512, 512], dim=1)
    weight.data = torch.cat([deep, *levels[::-1]], dim=1)


def norms(predictor):
    for module in predictor.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data, module.bias.data = module.bias.data, module.weight.data


def test_the_logits_of_the_caffe_pspnet_101(golden, caffe):
    path, numbers = caffe
    assert worst(package.load(path, "cpu", "fp32"), golden, numbers) <= 1e-4


def test_what_could_be_wrong_would_be_seen(golden, caffe):
    """On a small part of the picture: the whole one is what takes the time."""
    path, numbers = caffe
    image = torch.from_numpy(golden.image(int(numbers["seed"]), *map(int, numbers["hw"])))

    def logits(predictor):
        pixels = predictor.header.preprocessing(image[None, :97, :97].contiguous())
        with torch.inference_mode():
            return predictor.network(pixels).main

    right = logits(package.load(path, "cpu", "fp32"))
    for break_it in (bgr, mean, pyramid, norms):
        predictor = package.load(path, "cpu", "fp32")
        with torch.no_grad():
            break_it(predictor)
        worst = (logits(predictor) - right).abs().max() / (right.max() - right.min())
        assert worst > 1e-2, break_it.__name__


def test_the_probabilities_of_the_multi_scale_procedure(golden, tmp_path):
    numbers = read(golden, "semseg50_ms_shared.npz")
    save_semseg(golden, numbers, tmp_path / "semseg.pth")
    import_weights(tmp_path / "semseg.pth", tmp_path / "w.safetensors", CARD)
    predictor = package.load(tmp_path / "w.safetensors", "cpu", "fp32")
    image = golden.image(int(numbers["seed"]), *map(int, numbers["hw"]))
    found = predictor.probabilities(
        image,
        scales=tuple(map(float, numbers["scales"])),
        flip=True,
        crop=int(numbers["crop"]),
        base_size=int(numbers["base"]),
    )
    assert np.abs(found.transpose(1, 2, 0)[::3, ::3] - numbers["prob"]).max() <= 1e-5

    # The same as a user gets it: psp predict --probabilities, in 16 bits.
    Image.fromarray(image).save(tmp_path / "x.png")
    procedure = Procedure(
        crop=int(numbers["crop"]),
        base_size=int(numbers["base"]),
        scales=tuple(map(float, numbers["scales"])),
        flip=True,
    )
    predict(
        PredictRequest(
            pictures={"x": tmp_path / "x.png"},
            weights=tmp_path / "w.safetensors",
            out=tmp_path / "out",
            writers=find_writers(["probabilities"]),
            procedure=lambda header: procedure,
            device=torch.device("cpu"),
            precision="fp32",
        )
    )
    with np.load(tmp_path / "out/probabilities/x.npz") as archive:
        written = archive["probabilities"]
    assert np.abs(written.transpose(1, 2, 0)[::3, ::3] - numbers["prob"]).max() <= 1e-3

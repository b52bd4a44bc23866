"""What the authors' own code computes for known weights, where PSP_TEST_GOLDEN names a folder.

The names of the authors' tensors (hszhao/semseg) are translated here, in the test.
"""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from psp.infer import Protocol, segmenter
from psp.model import Architecture, build, upsample
from psp.weights import Preprocessing


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


def ours(key):
    """Return our name of a tensor of the authors' checkpoint."""
    first, *rest = key.split(".")
    if first == "layer0":
        names = {0: "conv1", 1: "bn1", 3: "conv2", 4: "bn2", 6: "conv3", 7: "bn3"}
        return f"backbone.{names[int(rest[0])]}.{rest[1]}"
    if first.startswith("layer"):
        return f"backbone.{key}"
    if first == "ppm":
        _, level, part, kind = rest
        return f"head.conv.levels.{level}.{ {'1': 'conv', '2': 'bn'}[part] }.{kind}"
    if first == "cls":
        return "head." + {"0": "conv.conv", "1": "bn", "4": "classifier"}[rest[0]] + f".{rest[1]}"
    return "aux." + {"0": "conv", "1": "bn", "4": "classifier"}[rest[0]] + f".{rest[1]}"


def authors_network(golden, numbers, backbone):
    tensors = golden.weights(numbers)
    spec = Architecture(
        classes=int(numbers["classes"]), backbone=backbone, aux="aux.0.weight" in tensors
    )
    network = build(spec).eval()
    network.load_state_dict({ours(key): value for key, value in tensors.items()}, strict=True)
    return network


def read(golden, name):
    return np.load(Path(golden.__file__).with_name(name))


@pytest.mark.parametrize("plain", [True, False])
def test_the_logits_of_pspnet_101(golden, plain):
    numbers = read(golden, "semseg101_shared.npz")
    network = authors_network(golden, numbers, "resnet101")
    network.use_plain_head(plain)
    size = tuple(map(int, numbers["hw"]))
    image = golden.image(int(numbers["seed"]), *size)
    with torch.inference_mode():
        logits = network(Preprocessing()(torch.from_numpy(image)[None])).main
        full = upsample(logits, size)[0].numpy()
    rows, columns = numbers["points"].T
    expected = numbers["logits"]
    difference = np.abs(full[:, rows, columns].T - expected).max()
    assert difference <= 1e-5 * (expected.max() - expected.min())


def test_the_probabilities_of_the_multi_scale_procedure(golden):
    numbers = read(golden, "semseg50_ms_shared.npz")
    network = authors_network(golden, numbers, "resnet50")
    image = golden.image(int(numbers["seed"]), *map(int, numbers["hw"]))
    scales = tuple(map(float, numbers["scales"]))
    protocol = Protocol(int(numbers["crop"]), int(numbers["base"]), scales, flip=True)
    model = segmenter(network, Preprocessing(), torch.device("cpu"), torch.float32)
    found = model.probabilities(image, protocol).permute(1, 2, 0)[::3, ::3].numpy()
    assert np.abs(found - numbers["prob"]).max() <= 1e-5

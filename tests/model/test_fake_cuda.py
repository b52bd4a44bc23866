"""What a picture costs between host and device, seen on a device of fake tensors."""

import numpy as np
import pytest
import torch
from helpers.fake_cuda import Copies, Launches, fake_cuda  # noqa: F401 - a fixture
from torch._subclasses.fake_tensor import unset_fake_temporarily

from psp.model.architecture import Architecture
from psp.model.backbones.backbone import Backbone
from psp.model.fold import fold
from psp.model.inference import SlidingWindow, folded_window
from psp.model.preprocessing import IMAGENET
from psp.model.procedure import Procedure
from psp.model.pspnet import Logits, build

PROCEDURES = {
    "one scale": Procedure(crop=57, flip=True),
    "scales": Procedure(crop=57, scales=(0.5, 1.0), flip=True),
    "taper": Procedure(crop=57, flip=True, blend="taper"),
    "whole": Procedure(crop=57, flip=True, windows="whole"),
}


@pytest.mark.slow
@pytest.mark.parametrize("procedure", PROCEDURES.values(), ids=PROCEDURES)
def test_a_picture_goes_to_the_device_once(fake_cuda, procedure):  # noqa: F811 - the fixture
    with unset_fake_temporarily():
        network = build(Architecture(classes=5, backbone="resnet18", stem="7x7"))
        folded = fold(network, torch.bfloat16)
    model = folded_window(folded.to(fake_cuda), IMAGENET, fake_cuda, torch.bfloat16)
    image = np.zeros((80, 90, 3), np.uint8)
    model.label_map(image, procedure)  # constants are made for the first one
    with Copies() as copies, Launches() as launches:
        labels = model.label_map(image, procedure)
    assert labels.device == fake_cuda and labels.dtype == torch.uint8
    assert len(copies.found) == 1, copies.found
    assert not [operation for operation, asked in launches.found if asked == "spread"]


@pytest.mark.parametrize("searching", [True, False])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("windows", ["square", "whole"])
def test_kernels_are_searched_for_shapes_that_repeat(
    fake_cuda,  # noqa: F811 - the fixture
    monkeypatch,
    searching,
    precision,
    windows,
):
    """Not for whole pictures, not in exact float32, and not unless the caller searches."""
    cudnn, seen = torch.backends.cudnn, set()
    monkeypatch.setattr(cudnn, "benchmark", searching)

    def network(images):
        seen.add((cudnn.benchmark, cudnn.allow_tf32))
        sides = [Backbone.map_side(side) for side in images.shape[2:]]
        return Logits(torch.zeros(len(images), 5, *sides, device=fake_cuda), None)

    model = SlidingWindow(network, 5, IMAGENET, fake_cuda, precision)
    model.label_map(np.zeros((120, 150, 3), np.uint8), Procedure(crop=89, windows=windows))
    exact = precision == torch.float32
    assert seen == {(searching and windows == "square" and not exact, not exact)}
    assert cudnn.benchmark == searching

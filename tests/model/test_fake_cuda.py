"""What a picture costs between host and device, seen on a device of fake tensors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.fake_cuda import Copies, fake_cuda  # noqa: F401 - a fixture
from torch._subclasses.fake_tensor import unset_fake_temporarily

from psp.model.architecture import Architecture
from psp.model.inference import sliding_window
from psp.model.preprocessing import IMAGENET
from psp.model.procedure import Procedure
from psp.model.pspnet import build


@pytest.mark.slow
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 1.5)], ids=str)
def test_a_picture_goes_to_the_device_once(fake_cuda, scales):  # noqa: F811 - the fixture
    with unset_fake_temporarily():
        network = build(Architecture(classes=5, backbone="resnet18", stem="7x7"))
        folded = sliding_window(network, IMAGENET, torch.device("cpu"), torch.bfloat16)
    model = replace(folded, network=folded.network.to(fake_cuda), device=fake_cuda, window_batch=16)
    image = np.zeros((200, 300, 3), np.uint8)
    procedure = Procedure(crop=89, scales=scales, flip=True)
    model.label_map(image, procedure)  # constants are made for the first one
    with Copies() as copies:
        labels = model.label_map(image, procedure)
    assert labels.device == fake_cuda and labels.dtype == torch.uint8
    assert len(copies.found) == 1, copies.found

"""Averaged weights: an exponential moving average of every tensor."""

import torch

from psp.model.architecture import Architecture
from psp.model.pspnet import build
from psp.train.ema import Ema


def test_weights_and_statistics_follow_their_recursion():
    torch.manual_seed(0)
    # Any network will do, and this one takes a hundredth of the time.
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5))
    average = Ema(network, 0.9)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    for number in range(1, 120):
        with torch.no_grad():
            for value in network.state_dict().values():
                if value.is_floating_point():
                    value.add_(torch.randn(()) * 0.1)
        rate = max(0.1, 9 / (9 + number))  # quick at first: 0.9 at step 1, 0.1 from step 81 on
        for name, value in network.state_dict().items():
            expected[name] = torch.lerp(expected[name].float(), value.float(), rate)
        average.update(network, number)
    for name, value in average.network.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value, expected[name], atol=1e-6), name
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


def test_counters_are_copied_and_the_networks_share_nothing():
    network = build(Architecture(classes=3, backbone="resnet18", stem="deep"))
    average = Ema(network, 0.9)
    network.backbone.bn1.num_batches_tracked += 7
    average.update(network, 1)
    assert average.network.backbone.bn1.num_batches_tracked == 7
    before = average.network.backbone.conv1.weight.clone()
    network.backbone.conv1.weight.data.zero_()
    assert torch.equal(average.network.backbone.conv1.weight, before)

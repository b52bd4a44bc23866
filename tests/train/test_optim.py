"""Poly schedule and parameter groups."""

import pytest

from psp.model.architecture import Architecture
from psp.model.pspnet import build
from psp.settings.optimizer import OptimizerSettings
from psp.train.optim import learning_rate, parameter_groups, poly


def test_poly_is_the_papers_formula():
    assert poly(0, 100, 0.9) == 1
    assert poly(100, 100, 0.9) == 0
    assert poly(50, 100, 0.9) == pytest.approx(0.5**0.9)
    values = [poly(step, 40, 0.9) for step in range(41)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("norm_decay", [True, False])
def test_every_parameter_is_in_one_group_with_the_right_factor(norm_decay):
    network = build(Architecture(classes=3, backbone="resnet18", stem="deep"))
    settings = OptimizerSettings(head_lr=10, bias_lr=2, weight_decay=1e-4, norm_decay=norm_decay)
    groups = parameter_groups(network, settings, pretrained="backbone.")
    seen = {}
    for group in groups:
        for parameter in group["params"]:
            assert id(parameter) not in seen
            seen[id(parameter)] = group
    for name, parameter in network.named_parameters():
        group = seen.pop(id(parameter))
        expected = 1.0 if name.startswith("backbone.") else 10.0
        if name in ("head.classifier.bias", "aux.classifier.bias"):
            expected = 20.0  # conv6 of the Caffe release
        assert group["factor"] == expected, name
        decayed = norm_decay or parameter.ndim == 4
        assert group["weight_decay"] == (1e-4 if decayed else 0.0)
    assert not seen


def test_layers_that_come_from_a_model_have_a_factor_of_their_own():
    network = build(Architecture(classes=3, backbone="resnet18"))
    settings = OptimizerSettings(head_lr=10, reused_lr=3, bias_lr=2)
    reused = ("head.conv", "head.bn", "aux.classifier")
    groups = parameter_groups(network, settings, pretrained="backbone.", reused=reused)
    factors = {id(p): group["factor"] for group in groups for p in group["params"]}
    found = {name: factors[id(parameter)] for name, parameter in network.named_parameters()}
    assert found["backbone.conv1.weight"] == 1
    assert found["head.conv.conv.weight"] == found["head.bn.bias"] == 3
    assert found["aux.classifier.bias"] == 6
    assert found["head.classifier.weight"] == found["aux.conv.weight"] == 10
    assert found["head.classifier.bias"] == 20


def test_a_floor_is_reached_and_leaves_the_first_rate_alone():
    settings = OptimizerSettings(lr=0.01, lr_min=1e-4, steps=100)
    assert learning_rate(0, settings) == 0.01
    assert learning_rate(100, settings) == 1e-4
    plain = OptimizerSettings(lr=0.01, steps=100)
    assert [learning_rate(n, plain) for n in range(100)] == [
        0.01 * poly(n, 100, 0.9) for n in range(100)
    ]

"""What is frozen stays, bit for bit, through real optimizer steps; the rest learns."""

import pytest
import torch

from psp.model.architecture import Architecture
from psp.model.pspnet import build
from psp.settings.loss import LossSettings
from psp.settings.optimizer import OptimizerSettings
from psp.settings.start import StartSettings
from psp.train.freeze import freeze, training_mode
from psp.train.loss import Criterion
from psp.train.optim import parameter_groups


def train_a_little(upto, norms, **network_fields):
    """Return names of the tensors that two steps changed, and all names."""
    torch.manual_seed(0)
    network = build(Architecture(classes=4, **{"backbone": "resnet18", **network_fields}))
    freeze(network, upto)
    settings = OptimizerSettings(head_lr=10, bias_lr=2, weight_decay=1e-4, norm_decay=True)
    groups = parameter_groups(network, settings, pretrained="backbone.")
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    criterion = Criterion(LossSettings(), align_corners=True)
    for _ in range(2):
        training_mode(network, StartSettings(freeze=upto, freeze_norm=norms))
        optimizer.zero_grad()
        labels = torch.randint(0, 4, (2, 41, 41), dtype=torch.uint8)
        criterion(network(torch.randn(2, 3, 41, 41)), labels).total.backward()
        optimizer.step()
    after = network.state_dict()
    return {name for name in after if not torch.equal(before[name], after[name])}, set(after)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "upto", "frozen"),
    [
        ({"stem": "deep"}, "stem", ("conv1.", "bn1.", "conv2.", "bn2.", "conv3.", "bn3.")),
        ({}, "stage3", ("conv1.", "bn1.", "layer1.", "layer2.")),
        ({}, "stage5", ("",)),
        ({"backbone": "convnext_tiny"}, "stage4", tuple(f"features.{n}." for n in range(6))),
    ],
)
def test_frozen_stages_keep_every_bit(fields, upto, frozen):
    changed, names = train_a_little(upto, "none", **fields)
    expected = {n for n in names if n.startswith(tuple(f"backbone.{part}" for part in frozen))}
    assert expected
    assert changed == names - expected


@pytest.mark.slow
@pytest.mark.parametrize(("norms", "where"), [("backbone", "backbone."), ("all", "")])
def test_frozen_norms_keep_their_statistics_and_learn_their_scale(norms, where):
    changed, names = train_a_little("none", norms)
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    kept = {n for n in names if n.endswith(statistics) and n.startswith(where)}
    assert kept
    assert changed == names - kept

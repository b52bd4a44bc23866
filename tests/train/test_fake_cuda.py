"""What a training step costs between host and device, seen on a device of fake tensors."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.fake_cuda import Copies, Launches, fake_cuda  # noqa: F401 - a fixture
from torch import distributed
from torch._subclasses.fake_tensor import unset_fake_temporarily

from psp.model.architecture import Architecture
from psp.model.fold import fold
from psp.model.preprocessing import IMAGENET
from psp.model.pspnet import build
from psp.settings.sources import resolve
from psp.train.distributed import Ranks
from psp.train.ema import Ema
from psp.train.freeze import training_mode
from psp.train.loss import Criterion, class_weights
from psp.train.optim import parameter_groups
from psp.train.state import TrainingState
from psp.train.step import try_step
from psp.train.syncbn import synchronize
from psp.train.syncbn_cuda import CudaNormalize
from psp.train.validate import current_model


def state_on(device, config):
    with unset_fake_temporarily():  # real on the CPU; `to` then makes fake ones on the device
        network = build(Architecture(classes=5, backbone="resnet18", stem="7x7"))
        pixels = np.random.default_rng(0).integers(1, 99, (4, 6))
    network = network.to(device, memory_format=torch.channels_last)
    training_mode(network, config.start)
    weights = None
    if config.loss.class_weights != "none":
        rule = config.loss.class_weights
        weights = torch.from_numpy(class_weights(pixels, rule)).to(device)
    groups = parameter_groups(network, config.optimizer, pretrained="backbone.")
    return TrainingState(
        *(None, config, None, None, network, network, Ranks()),
        Ema(network, config.optimizer.ema) if config.optimizer.ema else None,
        Criterion(config.loss, network.spec.align_corners, weights),
        torch.optim.SGD(groups, lr=0.01, momentum=0.9, fused=True),
        *(device, torch.bfloat16, IMAGENET, lambda: False, []),
        start=-1,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {},
        {
            "ohem": 0.7,
            "class_weights": "median",
            "ema": 0.9,
            "loss_stride": 1,
            "dice": 0.5,
        },
        {"accumulate": 2},
    ],
    ids=str,
)
def test_a_step_copies_its_batch_and_waits_for_nothing(fake_cuda, monkeypatch, change):  # noqa: F811 - the fixture
    given = {"init": "none", "crop": 89, "batch": 4, "steps": 9, **change}
    config = resolve(given, {}, "test")
    state = state_on(fake_cuda, config)

    def backward(loss):
        assert loss.dtype == torch.float32 and loss.device == fake_cuda
        for weight in state.network.parameters():
            weight.grad = torch.empty_like(weight)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    parts = config.optimizer.micro_batches
    size = (4 // parts, 89, 89)
    batch = [
        (torch.zeros(*size, 3, dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8))
    ] * parts
    with Launches() as first:  # constants are made in the first one
        try_step(state, batch, 0, 0.01)
    with Copies() as copies, Launches() as second:
        losses = try_step(state, batch, 1, 0.01)
    assert losses.device == fake_cuda and losses.dtype == torch.float32
    assert len(copies.found) == 2 * parts and not any(waits for *_, waits in copies.found)
    # The head's matrices, once for every shape; and averaged weights, all in one kernel.
    assert len(made_by("spread", first)) >= 20 and not made_by("spread", second)
    assert len(made_by("update", second)) == (2 if state.ema else 0)


def made_by(function, launches):
    return [operation for operation, asked in launches.found if asked == function]


@pytest.mark.slow
def test_a_validation_writes_into_the_network_of_the_last_one(fake_cuda):  # noqa: F811 - the fixture
    config = resolve({"init": "none", "crop": 89, "batch": 4, "steps": 9}, {}, "test")
    state = state_on(fake_cuda, config)
    with unset_fake_temporarily():
        folded = fold(build(state.network.spec), torch.bfloat16)
    state.folded = folded.to(fake_cuda)
    before = tensor_ids(state.folded)
    with Copies() as copies, Launches() as launches:
        model = current_model(state)
    assert not copies.found  # and so nobody waits for the device
    assert len(made_by("refold", launches)) > 40
    assert tensor_ids(model.network) == before


def tensor_ids(network):
    return [id(tensor) for tensor in (*network.parameters(), *network.buffers())]


def test_batch_norm_over_ranks_waits_for_nothing(fake_cuda, monkeypatch):  # noqa: F811 - the fixture
    monkeypatch.setattr(distributed, "get_world_size", lambda group: 2)
    collectives = []
    for name in ("all_gather_single", "all_gather_into_tensor", "all_reduce"):
        monkeypatch.setattr(
            distributed,
            name,
            lambda *tensors, group, name=name: collectives.append(name),
            raising=False,  # the first is not in older torch
        )
    with unset_fake_temporarily():
        network = torch.nn.Sequential(torch.nn.BatchNorm2d(8))
    synchronize(network.to(fake_cuda), None, fake_cuda)
    (norm,) = network
    x = torch.empty(2, 8, 5, 5, dtype=torch.bfloat16, device=fake_cuda)
    with Copies() as copies, Launches() as forward:
        assert network(x).dtype == torch.bfloat16
    statistics = torch.empty(8, device=fake_cuda)
    counts = torch.empty(2, dtype=torch.int32, device=fake_cuda)
    saved = SimpleNamespace(
        saved_tensors=(x, norm.weight, statistics, statistics, counts),
        needs_input_grad=[True] * 8,
        group=None,
    )
    with copies, Launches() as backward:
        gradients = CudaNormalize.backward(saved, x)
    assert [None if g is None else g.shape for g in gradients] == [x.shape, (8,), (8,), *[None] * 5]
    assert not copies.found
    assert len(collectives) == 2 and collectives[1] == "all_reduce"
    assert len(forward.found) <= 9 and len(backward.found) <= 4

"""Backbones: what the rest of psp asks of them, and ConvNeXt-Tiny is torchvision's."""

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
from helpers.errors import error_naming
from torch import nn
from torch.nn import functional as F

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.backbones.backbone import find_backbone
from psp.model.fold import fold
from psp.model.inference import sliding_window
from psp.model.preprocessing import IMAGENET
from psp.model.procedure import Procedure
from psp.model.pspnet import Logits, build
from psp.settings.loss import LossSettings
from psp.settings.start import FREEZABLE
from psp.train.loss import Criterion

CONVNEXT_SLOWLY = pytest.param("convnext_tiny", marks=pytest.mark.slow)


def network(backbone, **fields):
    torch.manual_seed(0)
    return build(Architecture(classes=4, backbone=backbone, **fields))


def lively(module):
    """Give a ConvNeXt weights with which every layer matters; new ones hardly use their blocks."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("layer_scale"):
                parameter.fill_(0.5)
            elif parameter.ndim > 1:
                parameter.normal_(0, 0.05)
            else:
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return module.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stem"),
    [("resnet18", "7x7"), ("resnet50", "deep"), ("convnext_tiny", "7x7"), ("patches", "7x7")],
)
def test_a_backbone_is_what_it_says(name, stem, plugin):
    with torch.device("meta"):
        backbone = build(Architecture(classes=2, backbone=name, stem=stem)).backbone
    for side in (9, 96, 473):
        four, five = backbone(torch.empty(2, 3, side, 65, device="meta"))
        size = (backbone.map_side(side), backbone.map_side(65))
        assert four.shape == (2, backbone.channels[0], *size)
        assert five.shape == (2, backbone.channels[1], *size)
    assert tuple(backbone.stages) == FREEZABLE[1:]
    modules = [backbone.get_submodule(n) for names in backbone.stages.values() for n in names]
    frozen = [parameter for module in modules for parameter in module.parameters()]
    assert sorted(map(id, frozen)) == sorted(map(id, backbone.parameters()))  # each exactly once


def test_an_unknown_backbone_suggests_the_nearest():
    with error_naming(PspError, "backbone=convnext_tinny", "'convnext_tiny'", "resnet50"):
        Architecture(classes=2, backbone="convnext_tinny")


@pytest.mark.slow
def test_convnext_is_torchvisions_without_the_last_two_strides():
    """Every second pixel of stage 4 and every fourth of stage 5 is what torchvision computes, also
    at the borders."""
    from torchvision import models

    theirs = lively(models.convnext_tiny())
    backbone = network("convnext_tiny").backbone.eval()
    backbone.load_state_dict(backbone.own_names(theirs.state_dict()))
    images = torch.randn(1, 3, 49, 81)
    with torch.inference_mode():
        four, five = backbone(images)
        x = F.pad(images, (7, 8, 7, 8))
        expected = [x := stage(x) for stage in theirs.features]
    for found, wanted in ((four[..., ::2, ::2], expected[5]), (five[..., 1::4, 1::4], expected[7])):
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.slow
def test_convnexts_maps_lie_on_every_eighth_pixel():
    """What a pixel of stage 4 sees without the blocks lies half a pixel beside it, to either side
    8 pixels wide."""
    backbone = network("convnext_tiny").backbone.eval()
    for name, parameter in backbone.named_parameters():
        if name.endswith("layer_scale"):
            parameter.data.zero_()
    images = torch.randn(1, 3, 57, 57, requires_grad=True)
    four, _ = backbone(images)
    for index in range(8):
        (gradient,) = torch.autograd.grad(four[0, :, index, 3].sum(), images, retain_graph=True)
        seen = gradient.abs().sum((0, 1, 3))
        rows = torch.nonzero(seen > 1e-3 * seen.max()).flatten().tolist()
        assert rows == list(range(max(0, 8 * index - 7), min(57, 8 * index + 9)))


@pytest.mark.slow
def test_padding_does_not_blow_up_the_gradients_of_a_new_convnext():
    """Zeros reach layer norms, which divide by next to nothing if nothing is added before."""
    backbone = network("convnext_tiny").backbone.eval()
    _, five = backbone(torch.randn(1, 3, 41, 41))
    five.square().sum().backward()
    bias, weight = (backbone.get_parameter(f"features.0.0.{kind}") for kind in ("bias", "weight"))
    assert bias.grad.norm() < 10 * weight.grad.norm()


@pytest.mark.slow
def test_stochastic_depth_leaves_blocks_out_only_while_training():
    backbone = lively(network("convnext_tiny").backbone)
    images = torch.randn(2, 3, 41, 41)
    with torch.inference_mode():
        still = [backbone(images)[1] for _ in range(2)]
        backbone.train()
        moving = [backbone(images)[1] for _ in range(2)]
    assert torch.equal(*still) and not torch.equal(*moving)


@cache
def trained(backbone):
    """The same network for every test; none changes it."""
    return lively(network(backbone))


def heads(net, images):
    with torch.inference_mode():
        for plain in (True, False):
            net.use_plain_head(plain)
            yield net(images).main


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["convnext_tiny", "patches"])
@pytest.mark.parametrize("side", [89, 97])
def test_the_factored_head_equals_the_plain_one(backbone, side, plugin):
    net = trained(backbone)
    plain, factored = heads(net, torch.randn(1, 3, side, 137))
    assert plain.shape[2] == net.backbone.map_side(side)
    assert (plain - factored).abs().max() <= 1e-5 * (plain.max() - plain.min())


@pytest.mark.parametrize("backbone", [CONVNEXT_SLOWLY, "patches"])
def test_a_folded_network_gives_the_same_logits(backbone, plugin):
    net = trained(backbone)
    folded = fold(deepcopy(net), torch.float32)
    layer_norms = [type(module) for module in folded.modules() if isinstance(module, nn.LayerNorm)]
    assert len(layer_norms) == (22 if backbone == "convnext_tiny" else 0)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    images = torch.randn(2, 3, 89, 57)
    with torch.inference_mode():
        expected, found = net(images).main, folded(images).main
    assert (found - expected).abs().max() <= 1e-5 * (expected.max() - expected.min())


@pytest.mark.parametrize("backbone", [CONVNEXT_SLOWLY, "patches"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_label_maps_have_the_pictures_size(backbone, precision, plugin):
    window = sliding_window(trained(backbone), IMAGENET, torch.device("cpu"), precision)
    picture = np.random.default_rng(0).integers(0, 256, (37, 101, 3), dtype=np.uint8)
    procedure = Procedure(57, scales=(0.5, 1.0), flip=True)
    labels = window.label_map(picture, procedure)
    assert labels.shape == (37, 101)
    assert torch.equal(labels.long(), window.probabilities(picture, procedure).argmax(0))


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("backbone", "step"), [("convnext_tiny", 8), ("patches", 9)])
def test_the_loss_compares_labels_where_upsampling_puts_the_logits(
    backbone, step, align_corners, plugin
):
    """Of a crop of 73, ten logits lie 8 pixels apart, and nine lie 9 apart."""
    settings = {"settings": LossSettings(), "align_corners": align_corners}
    criterion = Criterion(**settings, map_side=find_backbone(backbone).map_side)
    count = find_backbone(backbone).map_side(73)
    right = torch.randint(0, 4, (2, count, count))
    logits = 20 * F.one_hot(right, 4).permute(0, 3, 1, 2).float()
    labels = torch.full((2, 73, 73), 255, dtype=torch.uint8)
    first = 0 if align_corners else 73 / count / 2 - 0.5
    apart = step if align_corners else 73 / count
    places = torch.tensor([round(first + apart * index) for index in range(count)])
    labels[:, places[:, None], places] = right.to(torch.uint8)
    assert criterion.total_weights(labels)[0] == right.numel()  # no void among them
    assert criterion(Logits(logits, None), labels).total < 1e-3


def test_a_backbone_of_another_package_is_found_by_name(plugin):
    found = find_backbone("patches")
    assert found.__module__ == "psp_plugin.backbone"
    assert found.map_side(473) == 59

"""What psp inspect says of a model is what the model is."""

import json
import re

import pytest
import torch
from helpers.plain_nets import MMSegmentation, randomize
from torch import nn

from psp.data.cardfile import find_card
from psp.model.architecture import Architecture
from psp.model.pspnet import build
from psp.model.summary import summarize
from psp.model.weights import Header, save_weights
from psp.zoo.import_weights import import_weights


def written(path, spec, crop=89):
    header = Header(
        architecture=spec,
        classes=("a", "b"),
        palette=((0, 0, 0), (9, 8, 7)),
        dataset="d",
        data="",
        crop=crop,
        base_size=None,
        step=0,
    )
    network = build(spec)
    save_weights(path, network.state_dict(), header)
    return network, path


def test_parameters_and_flops_are_counted(tmp_path):
    """The flops of a network without a pyramid: those of its convolutions, one by one."""
    spec = Architecture(classes=2, backbone="resnet18", stem="7x7", bins=())
    network, model = written(tmp_path / "w.safetensors", spec)
    found = summarize(model, model.name)
    aux = sum(p.numel() for p in network.aux.parameters())
    assert found.aux_parameters == aux > 0
    assert found.parameters == sum(p.numel() for p in network.parameters()) - aux
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += 2 * output.numel() * module.weight[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    convolutions = network.head.conv.conv  # is not called as a module
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 89, 89))
    total += 2 * 512 * 12 * 12 * convolutions.weight[0].numel()
    assert found.flops == total
    assert found.details == {"bins": []}


def test_a_run_is_shown_on_one_screen(journey, psp):
    _, out, _ = psp("inspect", "run", cwd=journey.folder, check=0)
    assert "PSPNet, resnet18" in out and re.search(r"GFLOPs .* 41\b", out)
    assert "9 of tiny: sky, water" in out and "to step " in out
    assert len(out.splitlines()) <= 12
    _, out, _ = psp("inspect", "run", "--json", cwd=journey.folder, check=0)
    record = json.loads(out)
    assert record["classes"][0] == "sky" and record["source"] is None
    assert record["preprocessing"]["channels"] == "RGB" and record["parameters"] > 1e6
    code, _, err = psp("inspect", "run", "--sheet", "s.png", cwd=journey.folder)
    assert code == 2 and "are for shards" in err


@pytest.mark.slow
def test_an_imported_model_says_what_it_was(tmp_path, psp):
    torch.save({"state_dict": randomize(MMSegmentation(18, 21)).state_dict()}, tmp_path / "m.pth")
    import_weights(tmp_path / "m.pth", tmp_path / "w.safetensors", find_card("voc2012"))
    _, out, _ = psp("inspect", "w.safetensors", check=0)
    assert "an mmsegmentation PSPNet of 18 layers" in out and "m.pth, SHA-256" in out
    assert "stem_widths=32,32,64" in out and "align_corners=false" in out
    code, _, err = psp("inspect", "m.pth")
    assert code == 2 and "psp import" in err


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_the_authors_counts(tmp_path, depth):
    """Without the auxiliary head, as a released network is run."""
    with torch.device("meta"):
        network = build(Architecture(classes=21, backbone=f"resnet{depth}", aux=False, stem="deep"))
    count = sum(p.numel() for p in network.parameters())
    assert count == {50: 46_716_373, 101: 65_708_501, 152: 81_352_149}[depth]

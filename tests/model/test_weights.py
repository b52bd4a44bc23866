"""Weights files describe themselves, are byte-stable, and a wrong one is refused."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import Published
from psp.model.pspnet import build
from psp.model.weights import (
    Header,
    load_network,
    read_header,
    read_weights,
    save_weights,
)

SPEC = Architecture(classes=2, backbone="resnet18", bins=(1, 2), stem="deep")
HEADER = Header(
    architecture=SPEC,
    classes=("a", "é"),
    palette=((0, 0, 0), (9, 8, 7)),
    dataset="d",
    data="f",
    crop=41,
    base_size=None,
    step=3,
    preprocessing=Preprocessing(),
)


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    save_weights(tmp_path / "w.safetensors", build(SPEC).state_dict(), HEADER)
    return tmp_path / "w.safetensors"


@pytest.mark.slow
def test_network_and_header_come_back(path):
    network, header = load_network(path)
    assert header == HEADER
    torch.manual_seed(0)
    same = build(SPEC).eval()
    images = torch.randn(1, 3, 41, 41)
    assert not network.training
    for name, tensor in same.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])
    assert torch.allclose(network(images).main, same(images).main, atol=1e-5)


@pytest.mark.slow
def test_the_procedure_of_published_weights_comes_back(tmp_path):
    published = Published("mmseg", "97x65", "65x44", "200x100")
    state = build(SPEC).state_dict()
    save_weights(tmp_path / "w.safetensors", state, replace(HEADER, procedure=published))
    assert read_header(tmp_path / "w.safetensors").procedure == published
    assert "procedure" not in HEADER.to_json()  # as in the files of earlier versions
    for wrong in ({"name": "vit"}, {"name": "mmseg", "windows": "8"}, {"name": 5}, {}, []):
        metadata = json.loads(HEADER.to_json()) | {"procedure": wrong}
        save_file(state, tmp_path / "x.safetensors", {"psp": json.dumps(metadata)})
        with pytest.raises(PspError, match="x.safetensors.*procedure"):
            read_header(tmp_path / "x.safetensors")


@pytest.mark.slow
def test_the_same_weights_give_the_same_bytes(path, tmp_path):
    torch.manual_seed(0)
    for number in range(3):
        again = tmp_path / f"{number}.safetensors"
        save_weights(again, build(SPEC).state_dict(), HEADER)
        torch.manual_seed(0)
        assert again.read_bytes() == path.read_bytes()


def test_wrong_files_are_one_line(path, tmp_path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PspError, match="cut off"):
        load_network(path)
    path.write_bytes(b"hello")
    with pytest.raises(PspError, match="damaged"):
        load_network(path)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(PspError, match="safetensors"):
        read_weights(foreign)
    with pytest.raises(PspError, match="none.safetensors"):
        read_weights(tmp_path / "none.safetensors")


def test_tensors_that_do_not_fit_the_header_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    state = build(SPEC).state_dict()
    del state["head.bn.weight"]
    save_weights(path, state, HEADER)
    with pytest.raises(PspError, match="head.bn.weight"):
        load_network(path)


def test_preprocessing_is_imagenets_and_exact():
    images = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)  # (1, 1, 1, 3)
    found = Preprocessing()(images)
    assert found.shape == (1, 3, 1, 1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (torch.tensor([0, 128, 255]) / 255 - mean) / std
    assert torch.allclose(found.flatten(), expected, atol=1e-5)
    assert Preprocessing().fill == (124, 116, 104)

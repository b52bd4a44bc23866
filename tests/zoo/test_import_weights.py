"""Weights of other programs: recognized, every tensor used or named, and wrong files refused."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import psp as package
from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.pspnet import build
from psp.model.weights import load_network, read_weights
from psp.zoo.import_weights import import_weights
from psp.zoo.importers.importer import SavedNetwork
from psp.zoo.importers.semseg import read, read_semseg

pytestmark = pytest.mark.slow  # whole networks are read

VOC = find_card("voc2012")


def semseg_name(name):
    """Return semseg's name of our tensor: written from its model/pspnet.py."""
    part, _, rest = name.partition(".")
    if part == "backbone":
        stem = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4, "conv3": 6, "bn3": 7}
        first, _, kind = rest.partition(".")
        return f"layer0.{stem[first]}.{kind}" if first in stem else rest
    if part == "head" and rest.startswith("conv.levels."):
        _, _, level, module, kind = rest.split(".")
        return f"ppm.features.{level}.{1 if module == 'conv' else 2}.{kind}"
    module, kind = rest.removeprefix("conv.conv.").rpartition(".")[0], rest.rpartition(".")[2]
    place = {"": 0, "conv": 0, "conv.conv": 0, "bn": 1, "classifier": 4}[module]
    return f"{'cls' if part == 'head' else 'aux'}.{place}.{kind}"


def meta(spec):
    with torch.device("meta"):
        return build(spec)


@pytest.mark.parametrize("depth", [50, 101, 152])
@pytest.mark.parametrize("aux", [True, False])
def test_every_tensor_of_semseg_has_its_place_at_every_depth(depth, aux):
    spec = Architecture(
        classes=21, backbone=f"resnet{depth}", aux=aux, dropout_kind="channel", stem="deep"
    )
    network = meta(spec)
    theirs = {semseg_name(name): tensor for name, tensor in network.state_dict().items()}
    assert len(theirs) == len(network.state_dict())
    found = read_semseg(theirs)
    assert found.architecture == spec
    assert found.tensors.keys() == network.state_dict().keys()
    # The counts of the authors' code, auxiliary head included: 21 classes.
    counts = {50: 49_081_578, 101: 68_073_706, 152: 83_717_354}
    if aux:
        assert sum(p.numel() for p in network.parameters()) == counts[depth]


@pytest.fixture(scope="module")
def semseg_file(tmp_path_factory):
    """A checkpoint of semseg with random weights, as its training writes it."""
    torch.manual_seed(0)
    network = build(Architecture(classes=21, backbone="resnet50", stem="deep"))
    state = {f"module.{semseg_name(n)}": t for n, t in network.state_dict().items()}
    path = tmp_path_factory.mktemp("semseg") / "train_epoch_50.pth"
    torch.save({"epoch": 50, "state_dict": state}, path)
    return path, network


def test_sizes_are_those_of_the_configuration_beside_a_semseg_checkpoint(semseg_file):
    path, _ = semseg_file
    config = path.parent / "voc.yaml"
    text = "DATA:\n  classes: {}\nTRAIN:\n  zoom_factor: 8\nTEST:\n  test_h: 65\n  test_w: 65\n"
    try:
        config.write_text(text.format(21) + "  base_size: 100\n")
        found = read(SavedNetwork(path))
        assert (found.crop, found.base_size) == (65, 100) and "voc.yaml" in found.remarks[0]
        config.write_text(text.format(19))
        found = read(SavedNetwork(path))
        assert found.crop is None and "19 classes" in found.remarks[0]
        config.write_text("zoom_factor: [")
        assert "voc.yaml" in read(SavedNetwork(path)).remarks[0]
    finally:
        config.unlink()


def test_a_semseg_checkpoint_becomes_weights_that_psp_runs(semseg_file, tmp_path, psp):
    path, network = semseg_file
    _, out, err = psp("import", path, "w.safetensors", "--card", "voc2012", check=0)
    assert out.strip() == "w.safetensors"
    assert "a semseg PSPNet of 50 layers, with auxiliary head" in err
    loaded, header = load_network(tmp_path / "w.safetensors")
    assert header.classes == VOC.names and (header.crop, header.base_size) == (473, 512)
    assert "train_epoch_50.pth, SHA-256" in header.source
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    Image.new("RGB", (40, 30), (200, 30, 30)).save(tmp_path / "photo.png")
    psp(
        "predict",
        "photo.png",
        "-m",
        "w.safetensors",
        "-o",
        "parsed",
        "--crop",
        "41",
        "--base-size",
        "40",
        "--device",
        "cpu",
        check=0,
    )
    predictor = package.load(tmp_path / "w.safetensors", "cpu")
    labels = predictor.probabilities(tmp_path / "photo.png", crop=41, base_size=40).argmax(0)
    assert labels.shape == (30, 40)
    assert np.array_equal(np.array(Image.open(tmp_path / "parsed/labels/photo.png")), labels)
    # The same file gives the same bytes.
    import_weights(path, tmp_path / "again.safetensors", VOC)
    assert (tmp_path / "again.safetensors").read_bytes() == (
        tmp_path / "w.safetensors"
    ).read_bytes()


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch executed",)


def wrong_files(folder, state):
    """Yield the name of each file that is made, and what the error must name."""
    torch.save({"fc.weight": torch.zeros(3, 3), "conv1.weight": torch.zeros(3)}, folder / "r.pth")
    yield "r.pth", "ImageNet.*--init"
    (folder / "evil.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))
    yield "evil.pth", "refused|damaged|did not write"
    torch.save({"a": torch.zeros(2)}, folder / "a.pth")
    yield "a.pth", r"PSPNet.* a\n"
    torch.save([1, 2], folder / "list.pth")
    yield "list.pth", "dictionary of tensors"
    (folder / "text.caffemodel").write_bytes(b"<html>not found</html>")
    yield "text.caffemodel", "Caffe model"
    (folder / "empty.pth").write_bytes(b"")
    yield "empty.pth", "empty file"
    yield "nowhere.pth", "no such file"
    yield ".", "folder.*weights file"
    torch.save({**state, "cls.9.weight": torch.zeros(1)}, folder / "more.pth")
    yield "more.pth", "cls.9.weight"
    less = {name: tensor for name, tensor in state.items() if name != "cls.1.bias"}
    torch.save(less, folder / "less.pth")
    yield "less.pth", "head.bn.bias.*missing"
    torch.save({**state, "cls.1.bias": torch.zeros(3)}, folder / "shape.pth")
    yield "shape.pth", r"head.bn.bias.*\(3,\).*\(512,\)"


def test_wrong_files_are_one_line_and_nothing_is_executed(semseg_file, tmp_path, psp):
    path, _ = semseg_file
    state = torch.load(path, weights_only=True)["state_dict"]
    small = {n.removeprefix("module."): t for n, t in state.items()}
    import re

    for name, subject in wrong_files(tmp_path, small):
        code, out, err = psp("import", name, "out.safetensors", "--card", "voc2012")
        assert (code, out) == (2, ""), name
        assert f"{name}: " in err and re.search(subject, err), err
        assert len(err.strip().splitlines()) == 1
    whole = path.read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    code, _, err = psp("import", "cut.pth", "out.safetensors", "--card", "voc2012")
    assert code == 2 and "cut.pth: cut off" in err
    code, _, err = psp("import", path, "out.safetensors", "--card", "ade20k")
    assert code == 2 and "21 classes" in err and "ade20k has 150" in err and "--card" in err
    code, _, err = psp("import", path, "out.pth", "--card", "voc2012")
    assert code == 2 and "out.pth" in err and ".safetensors" in err
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "out.safetensors").exists()
    save_file({"x": torch.zeros(1)}, tmp_path / "mine.safetensors")
    code, _, err = psp("import", path, "mine.safetensors", "--card", "voc2012")
    assert code == 2 and "--overwrite" in err


def test_old_weights_without_a_source_are_read(journey):
    header, _ = read_weights(journey.folder / "run/best.safetensors")
    assert header.source == ""


def test_half_precision_is_widened_and_no_number_is_refused(semseg_file, tmp_path):
    path, network = semseg_file
    state = torch.load(path, weights_only=True)["state_dict"]
    half = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    torch.save(half, tmp_path / "half.pth")
    import_weights(tmp_path / "half.pth", tmp_path / "w.safetensors", VOC)
    loaded, _ = load_network(tmp_path / "w.safetensors")
    weight = loaded.head.classifier.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, network.head.classifier.weight.half().float())
    half["module.cls.1.bias"] = torch.full((512,), float("nan"))
    torch.save(half, tmp_path / "nan.pth")
    with pytest.raises(PspError, match=r"nan.pth: .*head.bn.bias .*finite"):
        import_weights(tmp_path / "nan.pth", tmp_path / "n.safetensors", VOC)
    half["module.cls.1.bias"] = torch.zeros(512, dtype=torch.int64)
    torch.save(half, tmp_path / "int.pth")
    with pytest.raises(PspError, match=r"int.pth: .*head.bn.bias .*int64"):
        import_weights(tmp_path / "int.pth", tmp_path / "n.safetensors", VOC)

"""Others' weights: recognized, every tensor used or named, and wrong files refused unopened."""

import pickle
import struct

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
from psp.zoo.importers.caffe import read_caffemodel
from psp.zoo.importers.semseg import read_semseg

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
    """Yield a name, what makes the file, and what must be said."""
    torch.save({"fc.weight": torch.zeros(3, 3), "conv1.weight": torch.zeros(3)}, folder / "r.pth")
    yield "r.pth", "an ImageNet classifier, no PSPNet.*--init"
    (folder / "evil.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))
    yield "evil.pth", "refused|damaged"
    torch.save({"a": torch.zeros(2)}, folder / "a.pth")
    yield "a.pth", "no PSPNet that psp knows; its tensors begin with a"
    torch.save([1, 2], folder / "list.pth")
    yield "list.pth", "no dictionary of tensors"
    (folder / "text.caffemodel").write_bytes(b"<html>not found</html>")
    yield "text.caffemodel", "no Caffe model"
    (folder / "empty.pth").write_bytes(b"")
    yield "empty.pth", "damaged, or no weights file"
    yield "nowhere.pth", "no such file"
    yield ".", "a folder"
    torch.save({**state, "cls.9.weight": torch.zeros(1)}, folder / "more.pth")
    yield "more.pth", "a tensor that its code has not: cls.9.weight"
    less = {name: tensor for name, tensor in state.items() if name != "cls.1.bias"}
    torch.save(less, folder / "less.pth")
    yield "less.pth", "head.bn.bias is missing"
    torch.save({**state, "cls.1.bias": torch.zeros(3)}, folder / "shape.pth")
    yield "shape.pth", r"head.bn.bias is \(3,\), not \(512,\)"


def test_wrong_files_are_one_line_and_nothing_is_executed(semseg_file, tmp_path, psp):
    path, _ = semseg_file
    state = torch.load(path, weights_only=True)["state_dict"]
    small = {n.removeprefix("module."): t for n, t in state.items()}
    import re

    for name, message in wrong_files(tmp_path, small):
        code, out, err = psp("import", name, "out.safetensors", "--card", "voc2012")
        assert (code, out) == (2, ""), name
        assert re.search(message, err), err
        assert len(err.strip().splitlines()) == 1
    whole = path.read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    code, _, err = psp("import", "cut.pth", "out.safetensors", "--card", "voc2012")
    assert code == 2 and "damaged, or no weights file" in err
    code, _, err = psp("import", path, "out.safetensors", "--card", "ade20k")
    assert code == 2 and "21 classes, but card ade20k has 150" in err
    code, _, err = psp("import", path, "out.pth", "--card", "voc2012")
    assert code == 2 and "must end in .safetensors" in err
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "out.safetensors").exists()
    save_file({"x": torch.zeros(1)}, tmp_path / "mine.safetensors")
    code, _, err = psp("import", path, "mine.safetensors", "--card", "voc2012")
    assert code == 2 and "--overwrite" in err


# ---- A .caffemodel, written here from the schema


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def chunk(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def integer(number, value):
    return varint(number << 3) + varint(value)


def blob(array, legacy=False):
    data = chunk(5, np.ascontiguousarray(array, "<f4").tobytes())
    if legacy:
        sizes = [1] * (4 - array.ndim) + list(array.shape)
        return b"".join(integer(i + 1, n) for i, n in enumerate(sizes)) + data
    return chunk(7, chunk(1, b"".join(map(varint, array.shape)))) + data


def layer(name, kind, *, bottoms=(), blobs=(), extra=b"", legacy=False):
    body = chunk(1, name.encode()) + chunk(2, kind.encode())
    body += b"".join(chunk(3, bottom.encode()) for bottom in bottoms)
    body += b"".join(chunk(7, blob(array, legacy)) for array in blobs)
    return chunk(100, body + extra)


def caffemodel(network, order, legacy=False):
    """Write a network of ours as the authors' Caffe would: BGR, their names, their order."""
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    spec = network.spec

    def convolution(name, ours, stride=1, dilation=1):
        weight = state[f"{ours}.weight"]
        if ours == "backbone.conv1":
            weight = weight[:, ::-1]
        if ours == "head.conv.conv":
            deep, *levels = np.split(weight, [2048, 2560, 3072, 3584], axis=1)
            weight = np.concatenate([deep, *(levels[spec.bins.index(b)] for b in order)], axis=1)
        blobs = [weight]
        if f"{ours}.bias" in state:
            blobs.append(state[f"{ours}.bias"])
        parameters = integer(4, weight.shape[-1]) + integer(6, stride) + integer(18, dilation)
        return layer(name, "Convolution", blobs=blobs, extra=chunk(106, parameters), legacy=legacy)

    def norm(name, ours):
        kinds = ("weight", "bias", "running_mean", "running_var")
        blobs = [state[f"{ours}.{kind}"].reshape(1, -1, 1, 1) for kind in kinds]
        return layer(f"{name}/bn", "BN", blobs=blobs, legacy=legacy)

    net = b""
    for number, name in enumerate(("conv1_1_3x3_s2", "conv1_2_3x3", "conv1_3_3x3"), start=1):
        net += convolution(name, f"backbone.conv{number}", 2 if number == 1 else 1)
        net += norm(name, f"backbone.bn{number}")
    for stage in range(1, 5):
        blocks = getattr(network.backbone, f"layer{stage}")
        for index, block in enumerate(blocks):
            name, ours = f"conv{stage + 1}_{index + 1}", f"backbone.layer{stage}.{index}"
            for part, module in (("1x1_reduce", 1), ("3x3", 2), ("1x1_increase", 3)):
                conv = getattr(block, f"conv{module}")
                net += convolution(
                    f"{name}_{part}", f"{ours}.conv{module}", conv.stride[0], conv.dilation[0]
                )
                net += norm(f"{name}_{part}", f"{ours}.bn{module}")
            if index == 0:
                net += convolution(
                    f"{name}_1x1_proj", f"{ours}.downsample.0", block.downsample[0].stride[0]
                )
                net += norm(f"{name}_1x1_proj", f"{ours}.downsample.1")
    for level, size in enumerate(spec.bins):
        pooling = integer(1, 1) + integer(2, 60 // size)
        net += layer(f"conv5_3_pool{size}", "Pooling", extra=chunk(121, pooling))
        net += convolution(f"conv5_3_pool{size}_conv", f"head.conv.levels.{level}.conv")
        net += norm(f"conv5_3_pool{size}_conv", f"head.conv.levels.{level}.bn")
    bottoms = ["conv5_3", *(f"conv5_3_pool{size}_interp" for size in order)]
    net += layer("conv5_3_concat", "Concat", bottoms=bottoms)
    net += convolution("conv5_4", "head.conv.conv") + norm("conv5_4", "head.bn")
    return net + convolution("conv6", "head.classifier")


@pytest.fixture(scope="module")
def ade_net():
    """A network as the authors' for ADE20K: 50 layers, stride in the 1x1; few classes."""
    torch.manual_seed(1)
    spec = Architecture(
        classes=3, backbone="resnet50", stride_in="1x1", aux=False, norm_momentum=0.05, stem="deep"
    )
    return build(spec).eval()


@pytest.mark.parametrize(("order", "legacy"), [((6, 3, 2, 1), False), ((1, 2, 3, 6), True)])
def test_a_caffemodel_is_read_by_its_own_layers(ade_net, order, legacy):
    extra = layer("conv_aux", "Convolution", blobs=[np.zeros((2, 2, 1, 1), np.float32)])
    model = read_caffemodel(caffemodel(ade_net, order, legacy) + extra)
    assert model.architecture == ade_net.spec
    assert model.crop == 473
    assert model.unused == ("conv_aux",)
    own = ade_net.state_dict()
    assert model.tensors.keys() == own.keys()
    assert all(torch.equal(model.tensors[n].reshape(own[n].shape), own[n]) for n in own)


def test_the_auxiliary_head_of_a_caffemodel_is_taken(ade_net):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(256, 1024, 3, 3)).astype(np.float32)
    norm = [rng.normal(size=(1, 256, 1, 1)).astype(np.float32) for _ in range(4)]
    classifier = [rng.normal(size=(3, 256, 1, 1)).astype(np.float32), np.ones(3, np.float32)]
    one_by_one = chunk(106, integer(4, 1))
    net = caffemodel(ade_net, (6, 3, 2, 1))
    net += layer("conv4_7", "Convolution", blobs=[weight], extra=chunk(106, integer(4, 3)))
    net += layer("conv4_7/bn", "BN", blobs=norm)
    net += layer("conv6_1", "Convolution", blobs=classifier, extra=one_by_one)
    model = read_caffemodel(net)
    assert model.unused == () and model.architecture.aux
    assert model.tensors.keys() == meta(model.architecture).state_dict().keys()
    assert torch.equal(model.tensors["aux.conv.weight"], torch.from_numpy(weight))
    assert torch.equal(model.tensors["aux.bn.running_var"], torch.from_numpy(norm[3]).flatten())
    assert torch.equal(model.tensors["aux.classifier.bias"], torch.ones(3))


def test_what_a_caffemodel_computes_otherwise_is_refused(ade_net):
    net = caffemodel(ade_net, (6, 3, 2, 1))
    blob = [np.zeros((64, 64, 3, 3), np.float32)]
    for parameters, message in (
        (integer(4, 3) + integer(6, 2), "conv2_3_3x3 has stride 2, where the PSPNet has 1"),
        (integer(4, 3) + integer(18, 2), "conv2_3_3x3 has dilation 2"),
        (b"", "conv2_3_3x3 has kernel 0"),
    ):
        other = layer("conv2_3_3x3", "Convolution", blobs=blob, extra=chunk(106, parameters))
        with pytest.raises(PspError, match=message):
            read_caffemodel(net + other)
    eps = chunk(152, varint(4 << 3 | 5) + struct.pack("<f", 1e-3))
    norm = [np.zeros((1, 64, 1, 1), np.float32)] * 4
    with pytest.raises(PspError, match="conv2_3_3x3/bn has eps 0.001"):
        read_caffemodel(net + layer("conv2_3_3x3/bn", "BN", blobs=norm, extra=eps))


def test_broken_caffemodels_are_one_line(ade_net, tmp_path):
    whole = caffemodel(ade_net, (6, 3, 2, 1))
    for part in (0.3, 0.9):
        path = tmp_path / "cut.caffemodel"
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(PspError, match="cut.caffemodel: .*truncated|no layers conv5_4"):
            import_weights(path, tmp_path / "o.safetensors", VOC)
    with pytest.raises(PspError, match="format before 2014"):
        read_caffemodel(chunk(2, b"") + whole[:0])
    with pytest.raises(PspError, match="not the authors' PSPNet"):
        read_caffemodel(layer("fc8", "InnerProduct"))
    with pytest.raises(PspError, match="has 2 values"):
        read_caffemodel(
            chunk(100, chunk(7, chunk(7, chunk(1, varint(3))) + chunk(5, struct.pack("<2f", 1, 2))))
        )


def test_the_place_of_the_stride_changes_what_a_network_computes(ade_net):
    """Same tensors, same shapes, other numbers: the file must say it, as nothing else would."""
    other = build(
        Architecture(classes=3, backbone="resnet50", aux=False, norm_momentum=0.05, stem="deep")
    ).eval()
    other.load_state_dict(ade_net.state_dict())
    images = torch.randn(1, 3, 41, 41)
    with torch.inference_mode():
        one, two = ade_net(images).main, other(images).main
    assert one.shape == two.shape and not torch.allclose(one, two, atol=1e-3)


# ---- psp.load


def test_load_takes_a_run_and_any_kind_of_picture(journey, tmp_path):
    predictor = package.load(journey.folder / "run", device="cpu")
    path = sorted((journey.folder / "raw/images/val").iterdir())[0]
    picture = Image.open(path)
    labels = predictor(path)
    assert labels.dtype == np.uint8 and labels.shape == (picture.height, picture.width)
    assert np.array_equal(predictor(picture), labels)
    assert np.array_equal(predictor(np.array(picture.convert("RGB"))), labels)
    saved = np.array(Image.open(journey.folder / "predicted/labels" / path.name))
    assert np.array_equal(saved, labels)
    assert len(predictor.classes) == len(predictor.palette) == 9
    probabilities = predictor.probabilities(path, scales=(0.5, 1.0), flip=True)
    assert probabilities.dtype == np.float32 and probabilities.shape == (9, *labels.shape)
    assert np.abs(probabilities.sum(0) - 1).max() < 1e-5
    assert not predictor.network.training


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 \(H, W, 3\) RGB, this array is uint8 \(4, 4\)"),
        (np.zeros((4, 4, 3)), "this array is float64"),
        (np.zeros((0, 4, 3), np.uint8), "this array is"),
        (7, "must be a path, a Pillow picture or a uint8 array"),
        ("nowhere.png", "nowhere.png: cannot be read"),
    ],
)
def test_what_is_no_picture_is_said(journey, image, message):
    predictor = package.load(journey.folder / "run", device="cpu")
    with pytest.raises(PspError, match=message):
        predictor(image)


def test_load_of_nothing_is_said(tmp_path):
    with pytest.raises(PspError, match="no such run or weights file"):
        package.load(tmp_path / "nowhere")
    with pytest.raises(PspError, match="one of auto, fp32, bf16"):
        package.load(tmp_path, precision="half")


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
    with pytest.raises(PspError, match=r"head.bn.bias has values that are no finite numbers"):
        import_weights(tmp_path / "nan.pth", tmp_path / "n.safetensors", VOC)
    half["module.cls.1.bias"] = torch.zeros(512, dtype=torch.int64)
    torch.save(half, tmp_path / "int.pth")
    with pytest.raises(PspError, match="head.bn.bias is of int64 values"):
        import_weights(tmp_path / "int.pth", tmp_path / "n.safetensors", VOC)


@pytest.mark.parametrize(
    ("name", "kind", "extra", "message"),
    [
        ("conv3_1_1x1_reduce", "Convolution", chunk(106, integer(6, 1)), "with strides"),
        ("conv5_3_pool3", "Pooling", chunk(121, integer(1, 0) + integer(2, 20)), "two kinds"),
        ("conv5_3_pool1", "Pooling", chunk(121, integer(1, 1) + integer(2, 1)), "pools 1 pixels"),
        ("conv6/bn", "Convolution", b"", "no convolution|has kernel 0"),
        ("conv4_1_3x3", "Convolution", chunk(106, integer(18, 3)), "with dilations"),
    ],
)
def test_a_caffemodel_that_contradicts_itself_is_refused(ade_net, name, kind, extra, message):
    """A second layer of a name takes the place of the first, as it comes later in the file."""
    blobs = [np.zeros((1, 1), np.float32)] if name == "conv6/bn" else []
    with pytest.raises(PspError, match=message):
        read_caffemodel(
            caffemodel(ade_net, (6, 3, 2, 1)) + layer(name, kind, blobs=blobs, extra=extra)
        )


def test_a_small_file_takes_little_memory():
    shape = chunk(1, varint(2**32) + varint(2**32))
    for blob_bytes in (chunk(7, shape), chunk(7, chunk(1, varint(1) * 70)), chunk(5, b"abc")):
        with pytest.raises(PspError, match="broken Caffe model"):
            read_caffemodel(chunk(100, chunk(1, b"conv6") + chunk(7, blob_bytes)))

"""The authors' Caffe models, written here from the schema, are read by their own layers."""

import struct

import numpy as np
import pytest
import torch

from psp.data.cardfile import find_card
from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.pspnet import build
from psp.zoo.import_weights import import_weights
from psp.zoo.importers.caffe import read_caffemodel

pytestmark = pytest.mark.slow  # whole networks are read

VOC = find_card("voc2012")


def meta(spec):
    with torch.device("meta"):
        return build(spec)


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

    net = bytearray()
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
    return bytes(net + convolution("conv6", "head.classifier"))


@pytest.fixture(scope="module")
def ade_net():
    """A network as the authors' for ADE20K: 50 layers, stride in the 1x1; few classes."""
    torch.manual_seed(1)
    spec = Architecture(
        classes=3, backbone="resnet50", stride_in="1x1", aux=False, norm_momentum=0.05, stem="deep"
    )
    return build(spec).eval()


@pytest.fixture(scope="module")
def whole(ade_net):
    """Its file."""
    return caffemodel(ade_net, (6, 3, 2, 1))


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


def test_the_auxiliary_head_of_a_caffemodel_is_taken(whole):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(256, 1024, 3, 3)).astype(np.float32)
    norm = [rng.normal(size=(1, 256, 1, 1)).astype(np.float32) for _ in range(4)]
    classifier = [rng.normal(size=(3, 256, 1, 1)).astype(np.float32), np.ones(3, np.float32)]
    one_by_one = chunk(106, integer(4, 1))
    net = layer("conv4_7", "Convolution", blobs=[weight], extra=chunk(106, integer(4, 3)))
    net += layer("conv4_7/bn", "BN", blobs=norm)
    net += layer("conv6_1", "Convolution", blobs=classifier, extra=one_by_one)
    model = read_caffemodel(whole + net)
    assert model.unused == () and model.architecture.aux
    assert model.tensors.keys() == meta(model.architecture).state_dict().keys()
    assert torch.equal(model.tensors["aux.conv.weight"], torch.from_numpy(weight))
    assert torch.equal(model.tensors["aux.bn.running_var"], torch.from_numpy(norm[3]).flatten())
    assert torch.equal(model.tensors["aux.classifier.bias"], torch.ones(3))


def test_what_a_caffemodel_computes_otherwise_is_refused(whole):
    blob = [np.zeros((64, 64, 3, 3), np.float32)]
    for parameters, message in (
        (integer(4, 3) + integer(6, 2), "conv2_3_3x3 .*stride 2"),
        (integer(4, 3) + integer(18, 2), "conv2_3_3x3 .*dilation 2"),
        (b"", "conv2_3_3x3 .*kernel 0"),
    ):
        other = layer("conv2_3_3x3", "Convolution", blobs=blob, extra=chunk(106, parameters))
        with pytest.raises(PspError, match=message):
            read_caffemodel(whole + other)
    eps = chunk(152, varint(4 << 3 | 5) + struct.pack("<f", 1e-3))
    norm = [np.zeros((1, 64, 1, 1), np.float32)] * 4
    with pytest.raises(PspError, match="conv2_3_3x3/bn .*eps 0.001"):
        read_caffemodel(whole + layer("conv2_3_3x3/bn", "BN", blobs=norm, extra=eps))


def test_broken_caffemodels_are_one_line(whole, tmp_path):
    for part in (0.3, 0.9):
        path = tmp_path / "cut.caffemodel"
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(PspError, match="cut.caffemodel: .*(truncated|conv5_4)"):
            import_weights(path, tmp_path / "o.safetensors", VOC)
    with pytest.raises(PspError, match="2014"):
        read_caffemodel(chunk(2, b"") + whole[:0])
    with pytest.raises(PspError, match="conv5_4"):
        read_caffemodel(layer("fc8", "InnerProduct"))
    with pytest.raises(PspError, match="damaged .* 2 values"):
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


@pytest.mark.parametrize(
    ("name", "kind", "extra", "message"),
    [
        ("conv3_1_1x1_reduce", "Convolution", chunk(106, integer(6, 1)), "strides"),
        ("conv5_3_pool3", "Pooling", chunk(121, integer(1, 0) + integer(2, 20)), "pool"),
        ("conv5_3_pool1", "Pooling", chunk(121, integer(1, 1) + integer(2, 1)), "pools 1 "),
        ("conv6/bn", "Convolution", b"", "conv6/bn"),
        ("conv4_1_3x3", "Convolution", chunk(106, integer(18, 3)), "dilations"),
    ],
)
def test_a_caffemodel_that_contradicts_itself_is_refused(whole, name, kind, extra, message):
    """A second layer of a name takes the place of the first, as it comes later in the file."""
    blobs = [np.zeros((1, 1), np.float32)] if name == "conv6/bn" else []
    with pytest.raises(PspError, match=message):
        read_caffemodel(whole + layer(name, kind, blobs=blobs, extra=extra))


def test_a_small_file_takes_little_memory():
    shape = chunk(1, varint(2**32) + varint(2**32))
    for blob_bytes in (chunk(7, shape), chunk(7, chunk(1, varint(1) * 70)), chunk(5, b"abc")):
        with pytest.raises(PspError, match="Caffe model"):
            read_caffemodel(chunk(100, chunk(1, b"conv6") + chunk(7, blob_bytes)))

"""Importer of the authors' Caffe models (.caffemodel).

The released networks differ in a few points, which are read from their layers and never from a
file's name: which convolution of a block has the stride (the 1x1 one in the 50-layer ADE20K
network, the 3x3 one in the others), the order of the pyramid levels in the concatenation, and the
training crop (from the kernel of the 1x1 bin). The kernel, stride and dilation of every convolution
are compared with psp's.
"""

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.backbones.resnet import BLOCKS
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import Published
from psp.model.pspnet import build_shapes
from psp.zoo.importers.caffemodel import Layer, read_layers
from psp.zoo.importers.importer import ImportedNetwork, Importer, SavedNetwork

# The input is BGR minus these means, without a division (evaluation/*.m of the release). In RGB:
PREPROCESSING = Preprocessing(mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0))

STEM = {"conv1_1_3x3_s2": 1, "conv1_2_3x3": 2, "conv1_3_3x3": 3}
CONVOLUTIONS = {"1x1_reduce": 1, "3x3": 2, "1x1_increase": 3}
BLOCK = re.compile(r"conv([2-5])_([1-9][0-9]{0,2})_(1x1_reduce|3x3|1x1_increase|1x1_proj)")
LEVEL = re.compile(r"conv5_3_pool([1-9][0-9]?)_conv")
# The auxiliary head of the training: one more convolution behind stage 4, and its classifier.
AUX, AUX_CLASSIFIER = re.compile(r"conv4_\d+"), "conv6_1"


def recognizes(saved: SavedNetwork) -> bool:
    """Whether this is a Caffe model, by the file's name."""
    return saved.path.suffix.lower() == ".caffemodel"


def read(saved: SavedNetwork) -> ImportedNetwork:
    """Read the network in a .caffemodel. Raises PspError if it is damaged or not a PSPNet."""
    return read_caffemodel(saved.path.read_bytes())


def read_caffemodel(data: bytes) -> ImportedNetwork:
    """Read the network in a .caffemodel. Raises PspError if it is damaged or not a PSPNet."""
    layers = {layer.name: layer for layer in read_layers(memoryview(data))}
    if "conv6" not in layers or "conv5_4" not in layers:
        raise PspError("a Caffe model, but not the authors' PSPNet (no layers conv5_4 and conv6).")
    spec, bins = _architecture(layers)
    modules = dict(build_shapes(spec).named_modules())
    tensors: dict[str, Tensor] = {}
    used: set[str] = set()
    for name, layer in layers.items():
        own_names = _own_names(name.removesuffix("/bn"), bins, spec.aux)
        if own_names is None or not layer.blobs:
            continue
        used.add(name)
        convolution, norm = own_names
        if layer.kind == "BN":
            tensors |= _norm(layer, norm)
        else:
            _check_convolution(layer, modules.get(convolution))
            tensors |= _convolution(layer, convolution)
    _reorder_levels(tensors, layers, bins)
    first = "backbone.conv1.weight"
    if first in tensors:  # its input is BGR, psp's is RGB
        tensors[first] = tensors[first].flip(1).contiguous()
    unused = tuple(name for name, layer in layers.items() if layer.blobs and name not in used)
    pooled = layers.get("conv5_3_pool1")
    crop = 8 * (pooled.kernel - 1) + 1 if pooled and pooled.kernel else None
    if crop is not None and not 9 <= crop <= 4097:
        raise PspError(
            f"a Caffe model whose 1x1 bin pools {pooled.kernel if pooled else 0} pixels."
        )
    return ImportedNetwork(
        f"the authors' Caffe PSPNet of {spec.depth} layers, stride in the {spec.stride_in}",
        spec,
        tensors,
        PREPROCESSING,
        crop,
        unused,
        procedure=Published("caffe"),
        kind="caffe",
    )


def _architecture(layers: dict[str, Layer]) -> tuple[Architecture, tuple[int, ...]]:
    counts = [0, 0, 0, 0]
    for name in layers:
        match = BLOCK.fullmatch(name)
        if match:
            stage = int(match[1]) - 2
            counts[stage] = max(counts[stage], int(match[2]))
    backbones = [name for name, blocks in BLOCKS.items() if list(blocks) == counts]
    needed = {
        "conv2_1_1x1_reduce",
        "conv3_1_1x1_reduce",
        "conv3_1_3x3",
        "conv4_1_3x3",
        "conv5_1_3x3",
    }
    if not backbones or not needed <= layers.keys():
        raise PspError(
            f"a Caffe model of {counts} blocks, which the authors' networks do not have."
        )
    bins = tuple(sorted(int(m[1]) for m in map(LEVEL.fullmatch, layers) if m))
    pools = [layers.get(f"conv5_3_pool{size}") for size in bins]
    classifier = layers["conv6"]
    if not classifier.blobs:
        raise PspError("a Caffe network without weights. Import the .caffemodel, not the .prototxt")
    strides = layers["conv3_1_1x1_reduce"].stride, layers["conv3_1_3x3"].stride
    if strides not in ((2, 1), (1, 2)):
        raise PspError(f"a Caffe model with strides {strides} in the first block of stage 3.")
    kinds = {pool.average for pool in pools if pool}
    if len(kinds) > 1 or None in pools:
        raise PspError(
            "a Caffe model whose pyramid lacks a pooling layer, or has two kinds of them."
        )
    first = layers["conv4_1_3x3"].dilation, layers["conv5_1_3x3"].dilation
    if first not in ((2, 4), (1, 2)):
        raise PspError(f"a Caffe model with dilations {first} in the first blocks of two stages.")
    norms = [layer for layer in layers.values() if layer.kind == "BN"]
    aux = [layer for layer in layers.values() if layer.blobs and AUX.fullmatch(layer.name)]
    supervised = len(aux) == 1 and AUX_CLASSIFIER in layers
    return Architecture(
        classes=classifier.blobs[0].shape[0],
        stem="deep",
        # Depths 34 and 50 have the same counts; all of the authors' networks have bottlenecks.
        backbone=backbones[-1],
        stride_in="1x1" if strides == (2, 1) else "3x3",
        first_dilation="full" if first == (2, 4) else "half",
        bins=bins,
        pooling="max" if kinds == {False} else "average",
        aux=supervised,
        aux_width=aux[0].blobs[0].shape[0] if supervised else Architecture.aux_width,
        # Caffe's momentum is the weight of the old value, torch's that of the new one.
        norm_momentum=round(1 - norms[0].momentum, 6) if norms else 0.05,
    ), bins


def _own_names(name: str, bins: tuple[int, ...], aux: bool) -> tuple[str, str] | None:
    """Return psp's names of a Caffe convolution and of its batch norm; None for other layers."""
    if name in STEM:
        return f"backbone.conv{STEM[name]}", f"backbone.bn{STEM[name]}"
    if name == "conv5_4":
        return "head.conv.conv", "head.bn"
    if name == "conv6":
        return "head.classifier", ""
    if aux and AUX.fullmatch(name):
        return "aux.conv", "aux.bn"
    if aux and name == AUX_CLASSIFIER:
        return "aux.classifier", ""
    if match := LEVEL.fullmatch(name):
        level = f"head.conv.levels.{bins.index(int(match[1]))}"
        return f"{level}.conv", f"{level}.bn"
    if match := BLOCK.fullmatch(name):
        block = f"backbone.layer{int(match[1]) - 1}.{int(match[2]) - 1}"
        if match[3] == "1x1_proj":
            return f"{block}.downsample.0", f"{block}.downsample.1"
        return f"{block}.conv{CONVOLUTIONS[match[3]]}", f"{block}.bn{CONVOLUTIONS[match[3]]}"
    return None


def _check_convolution(layer: Layer, expected: nn.Module | None) -> None:
    """Raise PspError if a convolution has other parameters than psp's of the same name."""
    if not isinstance(expected, nn.Conv2d):
        return  # the comparison of names reports this later
    pairs = {
        "kernel": (layer.kernel, expected.kernel_size[0]),
        "stride": (layer.stride, expected.stride[0]),
        "dilation": (layer.dilation, expected.dilation[0]),
    }
    for parameter, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise PspError(f"layer {layer.name} has {parameter} {theirs}, but the PSPNet {ours}.")


def _convolution(layer: Layer, name: str) -> dict[str, Tensor]:
    if layer.kind != "Convolution" or layer.blobs[0].ndim != 4:
        raise PspError(f"layer {layer.name} ({layer.kind}) is not a convolution with four axes.")
    tensors = {f"{name}.weight": _tensor(layer.blobs[0])}
    if len(layer.blobs) > 1:
        tensors[f"{name}.bias"] = _tensor(layer.blobs[1]).flatten()
    return tensors


def _norm(layer: Layer, name: str) -> dict[str, Tensor]:
    """Return a batch norm's tensors. The authors' BN layer has slope, bias, mean and variance."""
    if len(layer.blobs) != 4:
        raise PspError(f"layer {layer.name} has {len(layer.blobs)} blobs, but a batch norm has 4.")
    if abs(layer.eps - 1e-5) > 1e-9:
        raise PspError(f"layer {layer.name} has eps {layer.eps:g}, but the PSPNet 1e-05.")
    kinds = ("weight", "bias", "running_mean", "running_var")
    tensors = {
        f"{name}.{kind}": _tensor(blob).flatten()
        for kind, blob in zip(kinds, layer.blobs, strict=True)
    }
    return tensors | {f"{name}.num_batches_tracked": torch.tensor(0)}


def _reorder_levels(
    tensors: dict[str, Tensor], layers: dict[str, Layer], bins: tuple[int, ...]
) -> None:
    """Put the head's input channels into psp's order: the map, then the bins in rising order."""
    concat = layers.get("conv5_3_concat")
    bottoms = concat.bottoms if concat else ["conv5_3", *(f"pool{size}_" for size in bins[::-1])]
    order = [int(match[1]) for name in bottoms if (match := re.search(r"pool(\d+)_", name))]
    weight = tensors.get("head.conv.conv.weight")
    if weight is None or not bins:
        return
    if sorted(order) != list(bins) or "pool" in bottoms[0]:
        raise PspError(f"the concatenation has {bottoms}, not the map and the bins {bins}.")
    deep = 2048
    width, rest = divmod(weight.shape[1] - deep, len(bins))
    if width < 1 or rest:
        raise PspError(
            f"layer conv5_4 has {weight.shape[1]} inputs, not those of the map and bins."
        )
    levels = dict(zip(order, torch.split(weight[:, deep:], width, dim=1), strict=True))
    tensors["head.conv.conv.weight"] = torch.cat(
        [weight[:, :deep], *(levels[size] for size in bins)], dim=1
    )


def _tensor(blob: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
    return torch.from_numpy(blob)


IMPORTER = Importer("caffe", recognizes, read)

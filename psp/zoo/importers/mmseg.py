"""Importer of mmsegmentation's PSPNet (EncoderDecoder with PSPHead).

Its differences from the authors' network are fields of the architecture: a stem of 32, 32, 64
channels (ResNetV1c) or the 7x7 one, the first block of a dilated stage at half the dilation, only
the first convolution of a basic block dilated, align_corners off. Its checkpoints contain the text
of their configuration. Where that says otherwise, it is followed, or the file is refused if psp has
no such network: the shapes of the tensors would be the same, but the results would be wrong.
Sources: mmseg/models/backbones/resnet.py, utils/res_layer.py, decode_heads/psp_head.py and
configs/_base_/models/pspnet_r50-d8.py.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.backbones.resnet import backbone_of
from psp.model.preprocessing import IMAGENET, Preprocessing
from psp.zoo.configs.beside import mmseg_beside
from psp.zoo.importers.classnames import Color
from psp.zoo.importers.importer import (
    ImportedNetwork,
    Importer,
    SavedNetwork,
    renamed,
    sizes,
)
from psp.zoo.importers.mmseg_config import configured_card, configured_classes, read_test

BINS = (1, 2, 3, 6)
MODULES = {
    "backbone.stem.0": "backbone.conv1",
    "backbone.stem.1": "backbone.bn1",
    "backbone.stem.3": "backbone.conv2",
    "backbone.stem.4": "backbone.bn2",
    "backbone.stem.6": "backbone.conv3",
    "backbone.stem.7": "backbone.bn3",
    "decode_head.bottleneck.conv": "head.conv.conv",
    "decode_head.bottleneck.bn": "head.bn",
    "decode_head.conv_seg": "head.classifier",
    "auxiliary_head.convs.0.conv": "aux.conv",
    "auxiliary_head.convs.0.bn": "aux.bn",
    "auxiliary_head.conv_seg": "aux.classifier",
    **{
        f"decode_head.psp_modules.{level}.1.{module}": f"head.conv.levels.{level}.{module}"
        for level in range(len(BINS))
        for module in ("conv", "bn")
    },
}
# Of a network without a configuration; the recipe of the card says how large pictures are.
ASSUMED = ("whole pictures", "align_corners off", "colors normalized as ImageNet's")
BACKBONE = re.compile(r"backbone\.(layer[1-4]\..+|conv1\.weight|bn1\.\w+)")

# What psp's network has no setting for; all PSPNets of output stride 8 have these values.
FIXED = {
    "strides": "(1,2,1,1)",
    "dilations": "(1,1,2,4)",
    "pool_scales": "(1,2,3,6)",
    "num_convs": "1",
    "concat_input": "False",
}


def recognizes(saved: SavedNetwork) -> bool:
    """Whether the file has the tensor names of an mmsegmentation PSPNet."""
    names = {"decode_head.psp_modules.0.1.conv.weight", "decode_head.conv_seg.weight"}
    return names <= saved.names


def read(saved: SavedNetwork) -> ImportedNetwork:
    """Read the network, and its configuration and class names if the file has them.

    Without a configuration, one that lies beside the file is taken.

    Raises PspError as `read_mmseg` does.
    """
    meta = saved.extras.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    config = meta.get("config", meta.get("cfg"))
    remarks: tuple[str, ...] = ()
    if not isinstance(config, str):
        config, name, missing = mmseg_beside(saved.path)
        remarks = (f"the configuration beside it is taken: {name}", *missing) if name else ()
    network = read_mmseg(saved.tensors, config)
    names = _class_names(meta) or configured_classes(config)
    return replace(
        network,
        classes=names,
        palette=_palette(meta),
        card=configured_card(config),
        remarks=(*remarks, *network.remarks),
    )


def _class_names(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names in the metadata of a checkpoint of mmsegmentation 0.x or 1.x."""
    data = meta.get("dataset_meta")
    names = meta.get("CLASSES") or (data.get("classes") if isinstance(data, dict) else None)
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _palette(meta: Mapping[str, Any]) -> tuple[Color, ...] | None:
    """Return the colors in the metadata of a checkpoint, if they are three numbers each."""
    data = meta.get("dataset_meta")
    colors = meta.get("PALETTE") or (data.get("palette") if isinstance(data, dict) else None)
    if not isinstance(colors, (tuple, list)):
        return None
    found = [
        (color[0], color[1], color[2])
        for color in colors
        if isinstance(color, (tuple, list)) and [type(value) for value in color] == [int] * 3
    ]
    return tuple(found) if len(found) == len(colors) else None


def read_mmseg(tensors: Mapping[str, Tensor], config: str = "") -> ImportedNetwork:
    """Read the network from a checkpoint's tensors and the text of its configuration, if any.

    Raises PspError for an unknown tensor name, and for the configuration of a network that psp
    does not have.
    """
    backbone = backbone_of(n.removeprefix("backbone.") for n in tensors if BACKBONE.match(n))
    if backbone is None:
        raise PspError("an mmsegmentation PSPNet with a backbone that psp does not have.")
    own_tensors = {}
    for name, tensor in tensors.items():
        own_name = renamed(name, MODULES) or (name if BACKBONE.fullmatch(name) else None)
        if own_name is None:
            raise PspError(f"an mmsegmentation PSPNet with a tensor that psp does not know: {name}")
        own_tensors[own_name] = tensor
    _check_fixed(config)
    classes, head_width, _, _ = sizes(tensors["decode_head.conv_seg.weight"], 4)
    level_width, deepest, _, _ = sizes(tensors["decode_head.psp_modules.0.1.conv.weight"], 4)
    stem_names = [f"backbone.conv{index}.weight" for index in (1, 2, 3)]
    stem = [own_tensors[name] for name in stem_names if name in own_tensors]
    widths = [sizes(weight, 4)[0] for weight in stem]
    aux = own_tensors.get("aux.classifier.weight")
    test = read_test(config)
    spec = Architecture(
        classes=classes,
        backbone=backbone,
        stem="deep" if len(widths) == 3 else "7x7",
        stem_widths=(
            (widths[0], widths[1], widths[2]) if len(widths) == 3 else Architecture.stem_widths
        ),
        stride_in="1x1" if _value(config, "style") == "'caffe'" else "3x3",
        first_dilation="full" if _value(config, "contract_dilation") == "False" else "half",
        basic_dilation="first",
        level_width=None if 4 * level_width == deepest else level_width,
        head_width=head_width,
        aux=aux is not None,
        aux_width=Architecture.aux_width if aux is None else sizes(aux, 4)[1],
        align_corners=_value(config, "align_corners") == "True",
        dropout_kind="channel",
    )
    return ImportedNetwork(
        f"an mmsegmentation PSPNet of {spec.depth} layers, {'with' if spec.aux else 'without'} "
        "auxiliary head",
        spec,
        own_tensors,
        _preprocessing(config),
        crop=test.crop,
        remarks=test.remarks if config else (),
        assumed=() if config else ASSUMED,
        procedure=test.procedure,
        kind="mmsegmentation",
    )


def _value(config: str, key: str) -> str | None:
    """Return the value of a key in a configuration's text, without spaces; None if it is not there.

    Raises PspError if the key has several values, as it is not certain which one applies.
    """
    texts = re.findall(rf"\b{key}\s*=\s*([(\[][^)\]]*[)\]]|'[^']*'|[\w.]+)", config)
    values = {re.sub(r"\s", "", value).replace(",)", ")") for value in texts}
    if len(values) > 1:
        raise PspError(
            f"an mmsegmentation PSPNet whose configuration has several values of {key}: "
            f"{' and '.join(sorted(values))}."
        )
    return values.pop() if values else None


def _check_fixed(config: str) -> None:
    """Raise PspError for a configuration that psp's network has no setting for."""
    for key, expected in FIXED.items():
        value = _value(config, key)
        if value is not None and value.replace("[", "(").replace("]", ")") != expected:
            raise PspError(
                f"an mmsegmentation PSPNet with {key}={value}; psp's network has {expected}."
            )


def _preprocessing(config: str) -> Preprocessing:
    """Return the mean and standard deviation in the configuration, or mmsegmentation's defaults."""
    if "False" in (_value(config, "to_rgb"), _value(config, "bgr_to_rgb")):
        raise PspError(
            "an mmsegmentation PSPNet that takes BGR pictures, which psp does not support."
        )
    values = []
    for key, default in (("mean", IMAGENET.mean), ("std", IMAGENET.std)):
        text = _value(config, key)
        numbers = [float(number) for number in re.findall(r"\d+\.?\d*", text or "")]
        if text and len(numbers) != 3:
            raise PspError(f"an mmsegmentation PSPNet with {key}={text}: not three numbers.")
        values.append((numbers[0], numbers[1], numbers[2]) if numbers else default)
    return Preprocessing(*values)


IMPORTER = Importer("mmsegmentation", recognizes, read)

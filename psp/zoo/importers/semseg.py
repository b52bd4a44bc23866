"""The authors' PyTorch checkpoints (hszhao/semseg, model/pspnet.py): their names become ours."""

import re
from collections.abc import Mapping

from torch import Tensor

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.backbones.resnet import backbone_of
from psp.zoo.importers.importer import ImportedNetwork, sizes

STEM = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3", "7": "bn3"}
LEVEL = {"1": "conv", "2": "bn"}
CLASSIFIER = {"0": "conv", "1": "bn", "4": "classifier"}


def is_semseg(names: Mapping[str, object]) -> bool:
    """Whether tensors of these names are a PSPNet of semseg."""
    return {"layer0.0.weight", "cls.4.weight"} <= names.keys()


def read_semseg(tensors: Mapping[str, Tensor]) -> ImportedNetwork:
    """Translate a checkpoint's tensors. Raises PspError for a name that its PSPNet has not."""
    backbone = backbone_of(tensors)
    if backbone is None:
        raise PspError("a semseg PSPNet of a depth that psp does not know.")
    levels = {name.split(".")[2] for name in tensors if re.match(r"ppm\.\w+\.\w+\.", name)}
    if levels != set("0123"):
        raise PspError(
            f"a semseg PSPNet of {len(levels)} pyramid levels; psp knows its 1, 2, 3, 6."
        )
    if tensors["cls.4.weight"].ndim != 4:
        raise PspError("a semseg PSPNet whose cls.4.weight is no convolution.")
    spec = Architecture(
        classes=sizes(tensors["cls.4.weight"], 4)[0],
        backbone=backbone,
        aux="aux.4.weight" in tensors,
        dropout_kind="channel",
    )
    aux = "with" if spec.aux else "without"
    return ImportedNetwork(
        f"a semseg PSPNet of {spec.depth} layers, {aux} auxiliary head",
        spec,
        {_ours(name): tensor for name, tensor in tensors.items()},
        kind="semseg",
    )


def _ours(name: str) -> str:
    try:
        first, *rest = name.split(".")
        if first == "layer0":
            return f"backbone.{STEM[rest[0]]}.{rest[1]}"
        if re.fullmatch("layer[1-4]", first):
            return f"backbone.{name}"
        if first == "ppm":
            _, level, part, kind = rest
            return f"head.conv.levels.{level}.{LEVEL[part]}.{kind}"
        if first in ("cls", "aux"):
            part = CLASSIFIER[rest[0]]
            if first == "aux":
                return f"aux.{part}.{rest[1]}"
            return f"head.{'conv.conv' if part == 'conv' else part}.{rest[1]}"
    except (KeyError, ValueError, IndexError):
        pass
    raise PspError(f"a semseg PSPNet with a tensor that its code has not: {name}")

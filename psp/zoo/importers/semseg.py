"""Importer of the authors' PyTorch checkpoints (hszhao/semseg, model/pspnet.py)."""

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.backbones.resnet import backbone_of
from psp.zoo.configs.beside import semseg_beside
from psp.zoo.configs.semseg import read_semseg_config
from psp.zoo.importers.importer import ImportedNetwork, Importer, SavedNetwork, sizes

STEM = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3", "7": "bn3"}
LEVEL = {"1": "conv", "2": "bn"}
CLASSIFIER = {"0": "conv", "1": "bn", "4": "classifier"}


def recognizes(saved: SavedNetwork) -> bool:
    """Whether the file has the tensor names of a semseg PSPNet."""
    return {"layer0.0.weight", "cls.4.weight"} <= saved.names


def read(saved: SavedNetwork) -> ImportedNetwork:
    """Read the network, and the sizes in the configuration beside it, if there is one.

    Raises PspError for an unknown tensor name.
    """
    network = read_semseg(saved.tensors)
    path = semseg_beside(saved.path)
    if path is None:
        return network
    try:
        config = read_semseg_config(path)
    except PspError as error:
        return replace(network, remarks=(f"the configuration beside it is not used: {error}",))
    if config.classes not in (None, network.architecture.classes):
        remark = f"{path.name} beside it is not used: it is of {config.classes} classes"
        return replace(network, remarks=(remark,))
    base_size = config.settings.get("base_size")
    return replace(
        network,
        crop=config.test_crop,
        base_size=base_size if isinstance(base_size, int) else None,
        card=config.card,
        remarks=(f"crop and base size are those of {path.name} beside it",),
    )


def read_semseg(tensors: Mapping[str, Tensor]) -> ImportedNetwork:
    """Read the network from a checkpoint's tensors. Raises PspError for an unknown tensor name."""
    backbone = backbone_of(tensors)
    if backbone is None:
        raise PspError("a semseg PSPNet of a depth that psp does not have.")
    levels = {name.split(".")[2] for name in tensors if re.match(r"ppm\.\w+\.\w+\.", name)}
    if levels != set("0123"):
        raise PspError(
            f"a semseg PSPNet of {len(levels)} pyramid levels; psp can import its 1, 2, 3, 6."
        )
    if tensors["cls.4.weight"].ndim != 4:
        raise PspError("a semseg PSPNet whose cls.4.weight is not a convolution.")
    spec = Architecture(
        classes=sizes(tensors["cls.4.weight"], 4)[0],
        stem="deep",
        backbone=backbone,
        aux="aux.4.weight" in tensors,
        dropout_kind="channel",
    )
    aux = "with" if spec.aux else "without"
    return ImportedNetwork(
        f"a semseg PSPNet of {spec.depth} layers, {aux} auxiliary head",
        spec,
        {_own_name(name): tensor for name, tensor in tensors.items()},
        kind="semseg",
    )


def _own_name(name: str) -> str:
    """Return psp's name of a tensor. Raises PspError if semseg has no such tensor."""
    try:
        first, *rest = name.split(".")
        if first == "layer0":
            return f"backbone.{STEM[rest[0]]}.{rest[1]}"
        if re.fullmatch("layer[1-4]", first):
            return f"backbone.{name}"
        if first == "ppm":
            _, level, index, kind = rest
            return f"head.conv.levels.{level}.{LEVEL[index]}.{kind}"
        if first in ("cls", "aux"):
            module = CLASSIFIER[rest[0]]
            if first == "aux":
                return f"aux.{module}.{rest[1]}"
            return f"head.{'conv.conv' if module == 'conv' else module}.{rest[1]}"
    except (KeyError, ValueError, IndexError):
        pass
    raise PspError(f"a semseg PSPNet with a tensor that psp does not know: {name}")


IMPORTER = Importer("semseg", recognizes, read)

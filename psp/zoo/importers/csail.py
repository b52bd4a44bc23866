"""Importer of CSAIL's resnet18/50/101dilated with ppm_deepsup or ppm, in two files.

Its differences from the authors' network are fields of the architecture: the strided convolution of
a dilated stage's first block has half the dilation, pyramid levels have 512 channels at any depth,
the auxiliary head has a quarter of stage 5's channels, align_corners is off.
Since August 2019 the input is RGB with ImageNet's mean and deviation. Earlier networks need another
preprocessing, and their tensors do not show it.
Source: CSAILVision/semantic-segmentation-pytorch, mit_semseg/models/models.py.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.backbones.resnet import backbone_of
from psp.model.procedure import Published
from psp.model.procedures.csail import CSAIL
from psp.zoo.importers.importer import (
    ImportedNetwork,
    Importer,
    SavedNetwork,
    renamed,
    sizes,
)
from psp.zoo.tensors import read_tensors

BINS = (1, 2, 3, 6)
MODULES = {
    "conv_last.0": "head.conv.conv",
    "conv_last.1": "head.bn",
    "conv_last.4": "head.classifier",
    "cbr_deepsup.0": "aux.conv",
    "cbr_deepsup.1": "aux.bn",
    "conv_last_deepsup": "aux.classifier",
    **{
        f"ppm.{level}.{number}": f"head.conv.levels.{level}.{module}"
        for level in range(len(BINS))
        for number, module in (("1", "conv"), ("2", "bn"))
    },
}
ENCODER = re.compile(r"(conv[123]|bn[123])\.\w+|layer[1-4]\..+")
# Running sums of its early synchronized batch norm, which only its training uses.
RUNNING_SUMS = ("_tmp_running_mean", "_tmp_running_var", "_running_iter")


def recognizes(saved: SavedNetwork) -> bool:
    """Whether this is an encoder file, a decoder file, or a folder of them, by the names."""
    if saved.path.is_dir():
        return any(saved.path.glob("encoder_*.pth"))
    return saved.path.suffix == ".pth" and saved.path.name.startswith(("encoder_", "decoder_"))


def files(path: Path) -> list[Path]:
    """Return the encoder file and the decoder file.

    Raises PspError if one of them is missing, or if a folder has several networks.
    """
    if path.is_dir():
        encoders = sorted(path.glob("encoder_*.pth"))
        if len(encoders) > 1:
            names = ", ".join(encoder.name for encoder in encoders)
            raise PspError(f"{path}: has several networks ({names}). Name one of these files")
        path = encoders[0]
    _, _, rest = path.name.partition("_")
    pair = [path.with_name(f"{part}_{rest}") for part in ("encoder", "decoder")]
    for file in pair:
        if not file.is_file():
            raise PspError(
                f"{file}: no such file. A CSAIL network has an encoder file and a decoder file"
            )
    return pair


def read(saved: SavedNetwork) -> ImportedNetwork:
    """Read the network from both files. Raises PspError as `read_csail` does."""
    pair = files(saved.path)
    if pair[0].resolve().parent.name.startswith("baseline-"):  # the names of that time
        raise PspError(
            "a CSAIL network from before August 2019, whose preprocessing psp does not have. "
            "Use a later one, such as ade20k-resnet50dilated-ppm_deepsup"
        )
    encoder, decoder = map(read_tensors, pair)
    return read_csail(encoder, decoder)


def read_csail(encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> ImportedNetwork:
    """Read the network from both files' tensors.

    Raises PspError for an unknown tensor name, or if it is not a dilated ResNet and a pyramid.
    """
    stem = {"conv1.weight", "conv2.weight", "conv3.weight"}
    if not (stem <= set(encoder) and {"ppm.0.1.weight", "conv_last.4.weight"} <= set(decoder)):
        raise PspError("not a CSAIL network of a dilated ResNet and a pyramid (ppm, ppm_deepsup).")
    backbone = backbone_of(encoder)
    if backbone is None:
        raise PspError("a CSAIL encoder of a depth that psp does not have.")
    names = {name: f"backbone.{name}" if ENCODER.fullmatch(name) else None for name in encoder} | {
        name: renamed(name, MODULES) for name in decoder
    }
    tensors, unused = {}, []
    for name, tensor in {**encoder, **decoder}.items():
        own_name = names[name]
        if name.endswith(RUNNING_SUMS):
            unused.append(name)
        elif own_name is None:
            raise PspError(f"a CSAIL network with a tensor that psp does not know: {name}")
        else:
            tensors[own_name] = tensor
    classes, head_width, _, _ = sizes(decoder["conv_last.4.weight"], 4)
    level_width, deepest, _, _ = sizes(decoder["ppm.0.1.weight"], 4)
    aux = decoder.get("conv_last_deepsup.weight")
    width1, width2, width3 = (sizes(encoder[f"conv{number}.weight"], 4)[0] for number in (1, 2, 3))
    spec = Architecture(
        classes=classes,
        stem="deep",
        backbone=backbone,
        stem_widths=(width1, width2, width3),
        first_dilation="half",
        level_width=None if 4 * level_width == deepest else level_width,
        head_width=head_width,
        aux=aux is not None,
        aux_width=Architecture.aux_width if aux is None else sizes(aux, 4)[1],
        align_corners=False,
        dropout_kind="channel",
    )
    return ImportedNetwork(
        f"CSAIL's resnet{spec.depth}dilated with {'ppm_deepsup' if spec.aux else 'ppm'}, "
        "assumed to be from August 2019 or later",
        spec,
        tensors,
        unused=tuple(unused),
        procedure=Published("csail", "whole", resize=CSAIL.resize),
        kind="csail",
    )


IMPORTER = Importer("csail", recognizes, read, files)

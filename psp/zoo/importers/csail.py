"""CSAIL's resnet18/50/101dilated with ppm_deepsup or ppm: two files of tensors become ours.

Where its graph is another than the authors', the difference is a field of the architecture: the
strided convolution of a dilated stage's first block has half the dilation, pyramid levels have 512
channels at any depth, the auxiliary head has a quarter of stage 5's, align_corners is off.
Its pictures are RGB with ImageNet's mean and deviation since August 2019. Those from before expect
other pixels, and nothing in their tensors tells.
Source: CSAILVision/semantic-segmentation-pytorch, mit_semseg/models/models.py.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.backbones.resnet import backbone_of
from psp.zoo.importers.importer import ImportedNetwork, renamed, sizes

BINS = (1, 2, 3, 6)
PARTS = {
    "conv_last.0": "head.conv.conv",
    "conv_last.1": "head.bn",
    "conv_last.4": "head.classifier",
    "cbr_deepsup.0": "aux.conv",
    "cbr_deepsup.1": "aux.bn",
    "conv_last_deepsup": "aux.classifier",
    **{
        f"ppm.{level}.{number}": f"head.conv.levels.{level}.{part}"
        for level in range(len(BINS))
        for number, part in (("1", "conv"), ("2", "bn"))
    },
}
ENCODER = re.compile(r"(conv[123]|bn[123])\.\w+|layer[1-4]\..+")
# Running sums of its early synchronized batch norm, of use for going on with a training alone.
SUMS = ("_tmp_running_mean", "_tmp_running_var", "_running_iter")


def is_csail(encoder: Mapping[str, object], decoder: Mapping[str, object]) -> bool:
    """Whether tensors of these names are its dilated ResNet and a pyramid decoder."""
    stem = {"conv1.weight", "conv2.weight", "conv3.weight"}
    return stem <= set(encoder) and {"ppm.0.1.weight", "conv_last.4.weight"} <= set(decoder)


def read_csail(encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> ImportedNetwork:
    """Translate both files' tensors. Raises PspError for a name that its network has not."""
    backbone = backbone_of(encoder)
    if backbone is None:
        raise PspError("a CSAIL encoder of a depth that psp does not know.")
    places = {name: f"backbone.{name}" if ENCODER.fullmatch(name) else None for name in encoder} | {
        name: renamed(name, PARTS) for name in decoder
    }
    named, aside = {}, []
    for name, tensor in {**encoder, **decoder}.items():
        place = places[name]
        if name.endswith(SUMS):
            aside.append(name)
        elif place is None:
            raise PspError(f"a CSAIL network with a part that psp does not know: {name}")
        else:
            named[place] = tensor
    classes, head_width, _, _ = sizes(decoder["conv_last.4.weight"], 4)
    level_width, deepest, _, _ = sizes(decoder["ppm.0.1.weight"], 4)
    aux = decoder.get("conv_last_deepsup.weight")
    one, two, three = (sizes(encoder[f"conv{number}.weight"], 4)[0] for number in (1, 2, 3))
    spec = Architecture(
        classes=classes,
        backbone=backbone,
        stem_widths=(one, two, three),
        first_dilation="half",
        level_width=None if 4 * level_width == deepest else level_width,
        head_width=head_width,
        aux=aux is not None,
        aux_width=Architecture.aux_width if aux is None else sizes(aux, 4)[1],
        align_corners=False,
        dropout_kind="channel",
    )
    return ImportedNetwork(
        f"CSAIL's resnet{spec.depth}dilated with {'ppm_deepsup' if spec.aux else 'ppm'}, taken as "
        "one of August 2019 or later",
        spec,
        named,
        aside=tuple(aside),
        kind="csail",
    )

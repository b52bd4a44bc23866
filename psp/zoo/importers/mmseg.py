"""mmsegmentation's PSPNet (EncoderDecoder with PSPHead): its names become ours.

Where its graph is another than the authors', the difference is a field of the architecture: a stem
of 32, 32, 64 channels (ResNetV1c) or the 7x7 one, the first dilated block of a stage at half the
dilation, only the first convolution of a basic block dilated, align_corners off. Its checkpoints
carry the text of their configuration; where that says otherwise, the text is followed or the file
refused, as tensors of the same shapes would give other numbers.
Sources: mmseg/models/backbones/resnet.py, utils/res_layer.py, decode_heads/psp_head.py and
configs/_base_/models/pspnet_r50-d8.py.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.backbones.resnet import backbone_of
from psp.model.preprocessing import IMAGENET, Preprocessing
from psp.zoo.importers.importer import ImportedNetwork, renamed, sizes

BINS = (1, 2, 3, 6)
PARTS = {
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
        f"decode_head.psp_modules.{level}.1.{part}": f"head.conv.levels.{level}.{part}"
        for level in range(len(BINS))
        for part in ("conv", "bn")
    },
}
BACKBONE = re.compile(r"backbone\.(layer[1-4]\..+|conv1\.weight|bn1\.\w+)")

# What its PSPNets of output stride 8 say; psp's network can be no other.
FIXED = {
    "strides": "(1,2,1,1)",
    "dilations": "(1,1,2,4)",
    "pool_scales": "(1,2,3,6)",
    "num_convs": "1",
    "concat_input": "False",
}


def is_mmseg(names: Mapping[str, object]) -> bool:
    """Whether tensors of these names are a PSPNet of mmsegmentation."""
    return {"decode_head.psp_modules.0.1.conv.weight", "decode_head.conv_seg.weight"} <= set(names)


def read_mmseg(tensors: Mapping[str, Tensor], config: str = "") -> ImportedNetwork:
    """Translate a checkpoint's tensors; `config` is the text of its configuration, if it has one.

    Raises PspError for a name that its PSPNet has not, and for a configuration that is another
    network's.
    """
    backbone = backbone_of(n.removeprefix("backbone.") for n in tensors if BACKBONE.match(n))
    if backbone is None:
        raise PspError("an mmsegmentation PSPNet of a backbone that psp does not know.")
    named = {}
    for name, tensor in tensors.items():
        ours = renamed(name, PARTS) or (name if BACKBONE.fullmatch(name) else None)
        if ours is None:
            raise PspError(f"an mmsegmentation PSPNet with a part that psp does not know: {name}")
        named[ours] = tensor
    _check(config)
    classes, head_width, _, _ = sizes(tensors["decode_head.conv_seg.weight"], 4)
    level_width, deepest, _, _ = sizes(tensors["decode_head.psp_modules.0.1.conv.weight"], 4)
    stem = [named[name] for n in (1, 2, 3) if (name := f"backbone.conv{n}.weight") in named]
    widths = [sizes(weight, 4)[0] for weight in stem]
    aux = named.get("aux.classifier.weight")
    spec = Architecture(
        classes=classes,
        backbone=backbone,
        stem="deep" if len(widths) == 3 else "7x7",
        stem_widths=(
            (widths[0], widths[1], widths[2]) if len(widths) == 3 else Architecture.stem_widths
        ),
        stride_in="1x1" if _says(config, "style") == "'caffe'" else "3x3",
        first_dilation="full" if _says(config, "contract_dilation") == "False" else "half",
        basic_dilation="first",
        level_width=None if 4 * level_width == deepest else level_width,
        head_width=head_width,
        aux=aux is not None,
        aux_width=Architecture.aux_width if aux is None else sizes(aux, 4)[1],
        align_corners=_says(config, "align_corners") == "True",
        dropout_kind="channel",
    )
    return ImportedNetwork(
        f"an mmsegmentation PSPNet of {spec.depth} layers, {'with' if spec.aux else 'without'} "
        "auxiliary head",
        spec,
        named,
        _preprocessing(config),
        kind="mmsegmentation",
    )


def _says(config: str, key: str) -> str | None:
    """Return the value of a key in a configuration's text, without spaces; None if it has none.

    Raises PspError where the key stands with several values: which one counts is not certain.
    """
    found = re.findall(rf"\b{key}\s*=\s*([(\[][^)\]]*[)\]]|'[^']*'|[\w.]+)", config)
    values = {re.sub(r"\s", "", value).replace(",)", ")") for value in found}
    if len(values) > 1:
        raise PspError(
            f"an mmsegmentation PSPNet whose configuration has {key} as "
            f"{' and '.join(sorted(values))}; psp's network has one."
        )
    return values.pop() if values else None


def _check(config: str) -> None:
    for key, expected in FIXED.items():
        value = _says(config, key)
        if value is not None and value.replace("[", "(").replace("]", ")") != expected:
            raise PspError(
                f"an mmsegmentation PSPNet with {key}={value}; psp's network has {expected}."
            )


def _preprocessing(config: str) -> Preprocessing:
    """Return the mean and standard deviation of the configuration, or its usual ones."""
    if "False" in (_says(config, "to_rgb"), _says(config, "bgr_to_rgb")):
        raise PspError("an mmsegmentation PSPNet that takes BGR pictures, which psp does not know.")
    values = []
    for key, usual in (("mean", IMAGENET.mean), ("std", IMAGENET.std)):
        text = _says(config, key)
        numbers = [float(number) for number in re.findall(r"\d+\.?\d*", text or "")]
        if text and len(numbers) != 3:
            raise PspError(f"an mmsegmentation PSPNet with {key}={text}, which is not one a color.")
        values.append((numbers[0], numbers[1], numbers[2]) if numbers else usual)
    return Preprocessing(*values)

"""Settings of the network: the choices of the paper's ablation that a user can make."""

from dataclasses import dataclass
from typing import Annotated

from psp.errors import PspError, nearest
from psp.settings.section import Section, Setting, show

# Name: where its class is (psp/model/backbones/backbone.py says what that must have). Others are
# found by entry points.
BACKBONES = {
    "resnet18": "psp.model.backbones.resnet:DilatedResNet",
    "resnet34": "psp.model.backbones.resnet:DilatedResNet",
    "resnet50": "psp.model.backbones.resnet:DilatedResNet",
    "resnet101": "psp.model.backbones.resnet:DilatedResNet",
    "resnet152": "psp.model.backbones.resnet:DilatedResNet",
    "resnet269": "psp.model.backbones.resnet:DilatedResNet",
    "convnext_tiny": "psp.model.backbones.convnext:DilatedConvNeXt",
}
GROUP = "psp.backbones"  # of entry points


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Section):
    """What the network is made of. An `Architecture` adds what only published weights differ in."""

    backbone: Annotated[
        str, Setting(f"the dilated network: {', '.join(BACKBONES)}", source="paper, table 1")
    ] = "resnet50"
    stem: Annotated[
        str,
        Setting(
            "of ResNets; 7x7: one convolution, as in torchvision; deep: three 3x3 convolutions, "
            "as the authors have it",
            ("7x7", "deep"),
        ),
    ] = "7x7"
    bins: Annotated[
        tuple[int, ...],
        Setting("pyramid grid sizes; none: no pyramid", low=1, high=64, source="paper, table 1"),
    ] = (1, 2, 3, 6)
    pooling: Annotated[
        str, Setting("pyramid pooling", ("average", "max"), source="paper, table 1")
    ] = "average"
    reduce: Annotated[
        bool,
        Setting(
            "reduce each pyramid level to 1/len(bins) of the channels", source="paper, table 1"
        ),
    ] = True
    dropout: Annotated[
        float, Setting("dropout before both classifiers", low=0, high=0.99, source="Caffe release")
    ] = 0.1
    dropout_kind: Annotated[
        str,
        Setting(
            "element: single values, as the paper; channel: whole channels, as semseg",
            ("element", "channel"),
            source="Caffe release",
        ),
    ] = "element"
    norm_momentum: Annotated[
        float,
        Setting(
            "batch norm momentum in torch's sense (the Caffe release: 0.05)",
            low=0,
            high=1,
            source="torch",
        ),
    ] = 0.1

    stem_widths: Annotated[
        tuple[int, int, int],
        Setting("channels of the deep stem (mmsegmentation: 32,32,64)", low=1, high=1024),
    ] = (64, 64, 128)
    first_dilation: Annotated[
        str,
        Setting(
            "of a ResNet's first block in stages 4 and 5: full, or half, as mmsegmentation",
            ("full", "half"),
        ),
    ] = "full"
    basic_dilation: Annotated[
        str,
        Setting(
            "of ResNet-18 and -34: both convolutions of a block, or the first, as mmsegmentation",
            ("both", "first"),
        ),
    ] = "both"
    head_width: Annotated[
        int,
        Setting(
            "channels before the classifier (mmsegmentation's ResNet-18: 128)",
            low=1,
            high=16384,
            source="Caffe release",
        ),
    ] = 512
    aux_width: Annotated[
        int,
        Setting(
            "channels before the auxiliary classifier (mmsegmentation's ResNet-18: 64)",
            low=1,
            high=16384,
            source="Caffe release",
        ),
    ] = 256
    align_corners: Annotated[
        bool,
        Setting(
            "upsample from corner to corner, which needs crops of 8n+1 (mmsegmentation: false for "
            "most)"
        ),
    ] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backbone not in BACKBONES:
            from psp.plugins import known_names  # here, as psp train --help does without

            known = known_names(BACKBONES, GROUP)
            if self.backbone not in known:
                raise PspError(
                    f"backbone={self.backbone}: unknown.{nearest(self.backbone, known)} Known are: "
                    f"{', '.join(known)}."
                )
        if len(self.stem_widths) != 3:
            raise PspError(f"stem_widths={show(self.stem_widths)}: three numbers.")
        if len(set(self.bins)) != len(self.bins):
            raise PspError(f"bins={show(self.bins)}: a grid size is given twice.")

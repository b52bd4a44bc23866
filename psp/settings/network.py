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
        if len(set(self.bins)) != len(self.bins):
            raise PspError(f"bins={show(self.bins)}: a grid size is given twice.")

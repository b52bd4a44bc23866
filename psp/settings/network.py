"""Settings of the network: the choices of the paper's ablation that a user can make."""

from dataclasses import dataclass
from typing import Annotated

from psp.errors import PspError
from psp.settings.section import Section, Setting, show

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet269")


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Section):
    """What the network is made of. An `Architecture` adds what only published weights differ in."""

    backbone: Annotated[
        str, Setting("the dilated residual network", BACKBONES, source="paper, table 1")
    ] = "resnet50"
    stem: Annotated[
        str,
        Setting(
            "7x7: one convolution, as in torchvision; deep: three 3x3 convolutions, as the "
            "authors have it",
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
        if len(set(self.bins)) != len(self.bins):
            raise PspError(f"bins={show(self.bins)}: a grid size is given twice.")

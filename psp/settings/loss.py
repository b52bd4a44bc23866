"""Settings of the training loss."""

from dataclasses import dataclass
from typing import Annotated

from psp.settings.section import Section, Setting


@dataclass(frozen=True, kw_only=True)
class LossSettings(Section):
    """Cross entropy of the main and the auxiliary head, which pixels count, and more terms."""

    aux_weight: Annotated[
        float,
        Setting(
            "weight of the auxiliary loss; 0: no auxiliary head", low=0, source="paper, table 2"
        ),
    ] = 0.4
    loss_stride: Annotated[
        int,
        Setting(
            "8: compare logits and labels at 1/8 of the crop, as the paper; 1: at full size, as "
            "semseg",
            (1, 8),
            source="Caffe release",
        ),
    ] = 8
    mean_over: Annotated[
        str,
        Setting(
            "which pixels the loss is divided by: valid, the labeled ones; all, as mmsegmentation",
            ("valid", "all"),
        ),
    ] = "valid"
    class_weights: Annotated[
        str,
        Setting(
            "median, log: give rare classes more weight, by the shards' histograms (SegNet's rule, "
            "ENet's)",
            ("none", "median", "log"),
        ),
    ] = "none"
    ohem: Annotated[
        float,
        Setting(
            "hard example mining: train only on pixels whose true class has a lower probability; "
            "0: off",
            low=0,
            high=1,
        ),
    ] = 0.0
    ohem_keep: Annotated[
        float,
        Setting("with ohem: of each picture, at least this share of the hardest", low=0, high=1),
    ] = 0.1
    label_smoothing: Annotated[
        float,
        Setting(
            "share of each pixel's target that is spread evenly over all classes; 0: off",
            low=0,
            high=1,
        ),
    ] = 0.0
    dice: Annotated[
        float,
        Setting(
            "weight of the soft Dice loss of the main head, added to cross entropy; 0: off", low=0
        ),
    ] = 0.0
    lovasz: Annotated[
        float,
        Setting(
            "weight of the Lovász-softmax of the main head, added to cross entropy; 0: off", low=0
        ),
    ] = 0.0

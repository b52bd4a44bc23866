"""Settings of what a training starts from, and what it leaves as it was."""

from dataclasses import dataclass
from typing import Annotated

from psp.settings.section import Section, Setting

FREEZABLE = ("none", "stem", "stage2", "stage3", "stage4", "stage5")  # the paper's names


@dataclass(frozen=True, kw_only=True)
class StartSettings(Section):
    """Initial weights, and which of them are not trained."""

    init: Annotated[
        str,
        Setting(
            "imagenet: the weights that belong to backbone and stem; imagenet-v2: torchvision's "
            "second version; none: random; or a model"
        ),
    ] = "imagenet"
    new_layers: Annotated[
        str,
        Setting(
            "random values of pyramid and classifiers: torch's, or normal, as mmsegmentation has "
            "them: a deviation of 0.01 in classifiers, He's in convolutions",
            ("torch", "normal"),
        ),
    ] = "torch"
    freeze: Annotated[
        str,
        Setting("stem, stage2, ..., stage5: do not train the backbone up to there", FREEZABLE),
    ] = "none"
    freeze_norm: Annotated[
        str,
        Setting(
            "backbone, all: batch norms keep the statistics they start with (for tiny batches)",
            ("none", "backbone", "all"),
        ),
    ] = "none"

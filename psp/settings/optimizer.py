"""Settings of the optimizer and its schedule."""

from dataclasses import dataclass
from typing import Annotated

from psp.errors import PspError
from psp.settings.section import Section, Setting


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Section):
    """SGD with the poly learning rate (paper, section 5.1), and how a batch is computed."""

    batch: Annotated[
        int,
        Setting(
            "images per step, over all devices; auto: the recipe's, computed in as few parts as "
            "fit (accumulate)",
            low=1,
            source="paper, section 5.1",
        ),
    ] = 16
    steps: Annotated[
        int, Setting("optimizer steps, not epochs", low=1, source="paper, section 5.1: VOC")
    ] = 30_000
    lr: Annotated[
        float, Setting("learning rate of the backbone", low=0, source="paper, section 5.1")
    ] = 0.01
    lr_min: Annotated[
        float,
        Setting("what the backbone's learning rate falls to (mmsegmentation: 0.0001)", low=0),
    ] = 0.0
    head_lr: Annotated[
        float,
        Setting("factor on the learning rate of new layers", low=0, source="Caffe release"),
    ] = 10.0
    reused_lr: Annotated[
        float,
        Setting(
            "factor on the learning rate of the head's layers that init took from a model", low=0
        ),
    ] = 1.0
    bias_lr: Annotated[
        float,
        Setting(
            "factor on the learning rate of the classifiers' biases, on top of head_lr (semseg: 1)",
            low=0,
            source="Caffe release",
        ),
    ] = 2.0
    power: Annotated[
        float,
        Setting(
            "lr_min + (lr - lr_min) * (1 - step / steps) ** power",
            low=0,
            source="paper, section 5.1",
        ),
    ] = 0.9
    momentum: Annotated[
        float, Setting("SGD momentum", low=0, high=1, source="paper, section 5.1")
    ] = 0.9
    weight_decay: Annotated[
        float, Setting("SGD weight decay", low=0, source="paper, section 5.1")
    ] = 1e-4
    norm_decay: Annotated[
        bool,
        Setting(
            "decay batch norms and biases too (semseg does, the paper does not)",
            source="Caffe release",
        ),
    ] = False
    accumulate: Annotated[
        int | None,
        Setting(
            "compute a step's batch in so many parts, one after the other; batch norm sees one "
            "part; auto: as few as fit the GPU's memory",
            low=1,
            high=4096,
        ),
    ] = 1
    ema: Annotated[
        float,
        Setting(
            "decay of averaged weights, which are then validated and kept (0.999); 0: none",
            low=0,
            high=0.99999,
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lr_min > self.lr:
            raise PspError(
                f"lr_min={self.lr_min}: above lr={self.lr}, from which it falls. Lower both"
            )
        if self.batch % self.micro_batches:
            raise PspError(
                f"accumulate={self.accumulate}: {self.batch} images a step do not divide into so "
                f"many equal parts. Nearest batches: {multiples(self.batch, self.micro_batches)}."
            )

    @property
    def micro_batches(self) -> int:
        """In how many parts a step's batch is computed; 1 while `auto` is not resolved."""
        return self.accumulate or 1


def multiples(number: int, divisor: int) -> str:
    """Return the multiples of `divisor` on either side of `number`, as "12 or 18"."""
    below = number // divisor * divisor
    return " or ".join(str(k) for k in (below, below + divisor) if k)

"""Settings of which pictures are trained on and validated on, and how large those are."""

from dataclasses import dataclass
from typing import Annotated

from psp.settings.section import Section, Setting


@dataclass(frozen=True, kw_only=True)
class DataSettings(Section):
    """Splits, and the size of validation pictures."""

    base_size: Annotated[
        int | None,
        Setting(
            "long side that test pictures are resized to; auto: not resized", low=1, high=32768
        ),
    ] = None
    procedure: Annotated[
        str,
        Setting(
            "whose test procedure the validations follow, and the weights carry: torch, caffe, "
            "mmseg, mmseg-0.x or csail"
        ),
    ] = "torch"
    windows: Annotated[
        str, Setting("of that procedure: square (of the crop's side), whole, or WIDTHxHEIGHT")
    ] = "square"
    stride: Annotated[
        str | None,
        Setting("of its windows: N or ACROSSxDOWN pixels; auto: two thirds of their sides"),
    ] = None
    resize: Annotated[
        str | None,
        Setting("of its pictures: short:N or WIDTHxHEIGHT to fit inside; auto: as base_size says"),
    ] = None
    train_split: Annotated[
        str | None,
        Setting("split to train on; auto: train_aug where the shards have one, else train"),
    ] = None
    val_split: Annotated[str, Setting("split to validate on")] = "val"
    limit: Annotated[
        int | None,
        Setting("train AND validate on the first N training pictures: an overfit check", low=1),
    ] = None

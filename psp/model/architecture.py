"""Everything that fixes a network's tensors and arithmetic, in one plain record.

It is the network section of the settings, and the details in which published weights of other tools
differ, which nobody sets: those defaults are the paper's. The record is stored with the weights.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from psp.errors import PspError
from psp.settings.network import NetworkSettings

CHOICES = {
    "stride_in": ("3x3", "1x1"),
    "first_dilation": ("full", "half"),
    "basic_dilation": ("both", "first"),
}


@dataclass(frozen=True, kw_only=True)
class Architecture(NetworkSettings):
    """Fields of a PSPNet. Raises PspError for a value that no network has."""

    classes: int
    stem_widths: tuple[int, int, int] = (64, 64, 128)  # of the deep stem (others use 32, 32, 64)
    stride_in: str = "3x3"  # which convolution of a bottleneck strides; the Caffe ADE20K net: "1x1"
    first_dilation: str = "full"  # of the first block in stages 4 and 5; others use "half"
    basic_dilation: str = "both"  # which convolutions of a basic block dilate; others: "first"
    level_width: int | None = None  # channels of a reduced level; None: 1/len(bins) of the map's
    head_width: int = 512
    aux: bool = True  # an auxiliary head on stage 4, used while training
    aux_width: int = 256
    align_corners: bool = True  # of every bilinear upsampling

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise PspError(f"{name}={getattr(self, name)}: one of {', '.join(choices)}.")
        if self.classes < 1:
            raise PspError(f"a network of {self.classes} classes.")

    @property
    def depth(self) -> int:
        """The layers of a ResNet, as in its name."""
        return int(self.backbone.removeprefix("resnet"))

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON types."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


def architecture_from(values: Mapping[str, Any]) -> Architecture:
    """Rebuild what `Architecture.to_dict` wrote. Raises PspError for a field this version lacks."""
    known = Architecture.__dataclass_fields__
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise PspError(
            f"architecture: unknown field '{unknown[0]}': written by a newer psp? Upgrade psp."
        )
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    try:
        return Architecture(**fields)
    except PspError as error:
        raise PspError(f"architecture: {error}") from None

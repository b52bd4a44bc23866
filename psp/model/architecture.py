"""Everything that fixes a network's tensors and arithmetic, in one plain record.

It is the network section of the settings, and the details in which published weights of other tools
differ, which nobody sets: those defaults are the paper's. The record is stored with the weights.
"""

from dataclasses import asdict, dataclass
from typing import Any, get_type_hints

from psp.errors import PspError
from psp.headers import DamagedError, Fields
from psp.settings.network import NetworkSettings

STRIDE_IN = ("3x3", "1x1")
MOST_CLASSES = 255  # ids have 8 bits, and 255 is ignored
WIDEST = 16384  # channels of a layer; the largest PSPNet has 4096


@dataclass(frozen=True, kw_only=True)
class Architecture(NetworkSettings):
    """Fields of a PSPNet. Raises PspError for a value that no network has."""

    classes: int
    stride_in: str = "3x3"  # which convolution of a bottleneck strides; the Caffe ADE20K net: "1x1"
    level_width: int | None = None  # channels of a reduced level; None: 1/len(bins) of the map's
    aux: bool = True  # an auxiliary head on stage 4, used while training

    def __post_init__(self) -> None:
        if self.classes < 1:
            raise PspError(f"a network of {self.classes} classes.")
        super().__post_init__()
        if self.stride_in not in STRIDE_IN:
            raise PspError(f"stride_in={self.stride_in}: one of {', '.join(STRIDE_IN)}.")

    @property
    def depth(self) -> int:
        """The layers of a ResNet, as in its name."""
        return int(self.backbone.removeprefix("resnet"))

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON types."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


_KINDS = {
    name: kind
    for name, kind in get_type_hints(Architecture).items()
    if name in Architecture.__dataclass_fields__
}


def architecture_from(values: Any, where: str = "architecture") -> Architecture:
    """Rebuild what `Architecture.to_dict` wrote; `where` is the file that it stands in.

    Raises NewerError for a field that this version lacks, and DamagedError for a value that no
    network has, so that nothing is allocated for it.
    """
    value = Fields(values, where, "architecture.").only(_KINDS)
    given: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        if name not in value and name != "classes":
            continue  # an older psp did not write it
        if kind is bool:
            given[name] = value.flag(name)
        elif kind is str:
            given[name] = value.text(name)
        elif kind is float:
            given[name] = value.number(name)
        elif name == "classes":
            given[name] = value.whole(name, 1, MOST_CLASSES)
        elif kind is int:
            given[name] = value.whole(name, 1, WIDEST)
        elif kind == int | None:
            given[name] = value.whole(name, 1, WIDEST, default=None)
        else:  # tuples of whole numbers
            count = 3 if name == "stem_widths" else None
            given[name] = value.wholes(name, 1, WIDEST, count=count)
    try:
        return Architecture(**given)
    except PspError as error:  # a choice that there is not, or out of a setting's range
        raise DamagedError(f"{value.where}: damaged: its architecture: {error}") from None

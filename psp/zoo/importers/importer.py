"""The result of every importer: another program's network with psp's names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from psp.model.architecture import Architecture
from psp.model.preprocessing import IMAGENET, Preprocessing


@dataclass(frozen=True)
class ImportedNetwork:
    """A network that was read from another program's file."""

    what: str  # what it was recognized as, in words
    architecture: Architecture
    tensors: dict[str, Tensor]  # by psp's names
    preprocessing: Preprocessing = IMAGENET
    crop: int | None = None  # of its training, if the file has it
    unused: tuple[str, ...] = ()  # tensors or layers in the file that are not part of the network
    classes: tuple[str, ...] | None = (
        None  # names in the order of the channels, if the file has them
    )
    remarks: tuple[str, ...] = ()  # what the import changed
    kind: str = field(kw_only=True)  # the program: caffe, semseg, mmsegmentation or csail


def sizes(weight: Tensor, dimensions: int) -> tuple[int, ...]:
    """Return a weight's shape, or zeros if it has another number of dimensions.

    So an importer can read a damaged file: the strict comparison of all shapes comes later.
    """
    return tuple(weight.shape) if weight.ndim == dimensions else (0,) * dimensions


def renamed(name: str, modules: Mapping[str, str]) -> str | None:
    """Return psp's name of a tensor by a map of module names; None if its module is not in it."""
    module, _, kind = name.rpartition(".")
    return f"{modules[module]}.{kind}" if module in modules else None

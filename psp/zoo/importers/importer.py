"""What each importer gives: another program's network in our terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from psp.model.architecture import Architecture
from psp.model.preprocessing import IMAGENET, Preprocessing


@dataclass(frozen=True)
class ImportedNetwork:
    """A network by our names, and what it was recognized as, in words.

    `kind` is the program it comes from: caffe, semseg, mmsegmentation or csail. `crop` is that of
    its training and `classes` are its names, in the order of its channels, where the file says
    them; `aside` names the file's tensors or layers that are no part of the network, `remarks` what
    was done to it beside.
    """

    what: str
    architecture: Architecture
    tensors: dict[str, Tensor]
    preprocessing: Preprocessing = IMAGENET
    crop: int | None = None
    aside: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()
    kind: str = field(kw_only=True)


def sizes(weight: Tensor, dimensions: int) -> tuple[int, ...]:
    """Return a weight's sizes; zeros if it has another number of dimensions, which no network has.

    An importer may ask a damaged file for them: the strict comparison of shapes comes after.
    """
    return tuple(weight.shape) if weight.ndim == dimensions else (0,) * dimensions


def renamed(name: str, parts: Mapping[str, str]) -> str | None:
    """Return a tensor's name where its module is one of `parts`, which map module to module."""
    module, _, kind = name.rpartition(".")
    return f"{parts[module]}.{kind}" if module in parts else None

"""What an importer is, what it gets, and its result: another program's network, with psp's names.

`registry.py` lists the importers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.preprocessing import IMAGENET, Preprocessing
from psp.model.procedure import Published
from psp.settings.size import Sides
from psp.zoo.importers.classnames import Color
from psp.zoo.tensors import read_checkpoint


@dataclass(frozen=True)
class ImportedNetwork:
    """A network that was read from another program's file."""

    what: str  # what it was recognized as, in words
    architecture: Architecture
    tensors: dict[str, Tensor]  # by psp's names
    preprocessing: Preprocessing = IMAGENET
    crop: Sides | None = None  # of its training, if the file has it
    unused: tuple[str, ...] = ()  # tensors or layers in the file that are not part of the network
    classes: tuple[str, ...] | None = (
        None  # names in the order of the channels, if the file has them
    )
    remarks: tuple[str, ...] = ()  # what the import changed
    procedure: Published | None = None  # its own test procedure, where that is not semseg's
    assumed: tuple[str, ...] = ()  # what the file does not say, and most networks of its kind have
    base_size: int | None = None  # of its test, if the file has it
    palette: tuple[Color, ...] | None = None  # in the order of the channels, if the file has it
    card: str | None = None  # the shipped card of the data set that the file names
    kind: str = field(kw_only=True)  # the name of its importer


class SavedNetwork:
    """The file or folder of a network that a user gave.

    As a file of tensors (.pth, .pt, .safetensors) it is read when its tensors are first asked for,
    once for all importers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return read_checkpoint(self.path)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name. Raises PspError if the file cannot be read as tensors."""
        return self._checkpoint[0]

    @property
    def extras(self) -> dict[str, Any]:
        """What else is in a checkpoint, by key. Raises PspError as `tensors` does."""
        return self._checkpoint[1]

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the tensors; none if the file cannot be read as tensors."""
        try:
            return frozenset(self.tensors)
        except PspError:
            return frozenset()


def _one_file(path: Path) -> list[Path]:
    return [path]


@dataclass(frozen=True)
class Importer:
    """How the networks of another program are read.

    `name` is the program's. `recognizes(saved)` says whether this importer reads that file or
    folder; it raises nothing. `read(saved)` returns the network and raises PspError if the file is
    damaged, or of a network that psp does not have. `files(path)` returns the files that are read,
    given the path that the user gave, and raises PspError if one is missing.
    """

    name: str
    recognizes: Callable[[SavedNetwork], bool]
    read: Callable[[SavedNetwork], ImportedNetwork]
    files: Callable[[Path], list[Path]] = _one_file


def sizes(weight: Tensor, dimensions: int) -> tuple[int, ...]:
    """Return a weight's shape, or zeros if it has another number of dimensions.

    So an importer can read a damaged file: the strict comparison of all shapes comes later.
    """
    return tuple(weight.shape) if weight.ndim == dimensions else (0,) * dimensions


def renamed(name: str, modules: Mapping[str, str]) -> str | None:
    """Return psp's name of a tensor by a map of module names; None if its module is not in it."""
    module, _, kind = name.rpartition(".")
    return f"{modules[module]}.{kind}" if module in modules else None

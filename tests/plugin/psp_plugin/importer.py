"""An importer: networks of 18 layers as NumPy's .npz, with psp's names and a list of classes."""

import numpy as np
import torch

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.zoo.importers.importer import ImportedNetwork, Importer, SavedNetwork


def recognizes(saved: SavedNetwork) -> bool:
    """Whether the file is called .npz."""
    return saved.path.suffix == ".npz"


def read(saved: SavedNetwork) -> ImportedNetwork:
    """Read the network. Raises PspError if it has no list of classes."""
    with np.load(saved.path) as file:
        if "classes" not in file:
            raise PspError("a .npz without a list of classes. Export it again")
        classes = tuple(str(name) for name in file["classes"])
        tensors = {name: torch.from_numpy(file[name]) for name in file.files if name != "classes"}
    width = len(tensors["head.conv.conv.weight"])
    spec = Architecture(backbone="resnet18", classes=len(classes), head_width=width, aux=False)
    return ImportedNetwork("a network in a .npz", spec, tensors, classes=classes, kind="npz")


NPZ = Importer("npz", recognizes, read)

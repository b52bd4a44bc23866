"""What the network and the tools around it ask of a backbone, and backbones by name.

A new backbone is a subclass of `Backbone` in a file of its own, and a line in the table `BACKBONES`
of psp/settings/network.py; or, in another package, an entry point of the group `psp.backbones`:

    [project.entry-points."psp.backbones"]
    tinynet = "my_package.tinynet:TinyNet"

Pyramid, classifiers, loss, inference, export, freezing and initial weights then work with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.preprocessing import IMAGENET, Preprocessing
from psp.plugins import load_named
from psp.settings.network import BACKBONES, GROUP


@dataclass(frozen=True)
class InitialWeights:
    """A file of trained weights on the web that a backbone can start from.

    `name` is what `--init` calls it, `title` says whose it is. It is kept as `file` in torch.hub's
    folder. `sha256` has the first digits of its checksum, as many as are published.
    """

    name: str
    title: str
    address: str
    file: str
    sha256: str = ""
    preprocessing: Preprocessing = IMAGENET  # with which it was trained


class Backbone(nn.Module):
    """Maps normalized pictures to two feature maps of the same size, those of stages 4 and 5.

    A subclass sets, at the latest when it is constructed:
    `channels`: of the two maps.
    `stages`: its modules by the paper's stages, stem and stage2 to stage5, for freezing.
    `folds`: names of a convolution and the batch norm right after it, in one module. Inference
    folds the second into the first; other norms stay as they are.
    """

    channels: tuple[int, int]
    stages: Mapping[str, tuple[str, ...]]
    folds: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, spec: Architecture) -> None:
        super().__init__()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 3, H, W) to (B, channels[0], h, w) and (B, channels[1], h, w).

        h and w are `map_side` of H and W. The first and last pixel of a row of the maps should see
        the surroundings of the picture's first and last: logits are upsampled between them.
        """
        raise NotImplementedError

    @staticmethod
    def map_side(side: int) -> int:
        """Return the side of the maps for a picture's side: an eighth, rounded up."""
        return (side + 7) // 8  # not -(-side // 8), which torch's ONNX exporter rounds to zero

    @staticmethod
    def initial_weights(spec: Architecture) -> tuple[InitialWeights, ...]:
        """Return the weights that `--init` can fetch for this backbone of an architecture."""
        return ()

    @staticmethod
    def own_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a trained classifier's tensors by this backbone's names, without the classifier's.

        A tensor with an unknown name keeps it, and is refused where the weights are loaded.
        """
        return dict(tensors)


def find_backbone(name: str) -> type[Backbone]:
    """Return the class of a backbone. Raises PspError for an unknown name, with the nearest."""
    found = load_named(BACKBONES, GROUP, name, f"backbone={name}")
    if not (isinstance(found, type) and issubclass(found, Backbone)):
        raise PspError(
            f"backbone={name}: {found!r} is no psp.model.backbones.backbone.Backbone. Update or "
            "uninstall the package that it comes from"
        )
    return found

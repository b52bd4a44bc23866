"""A backbone of three layers, whose maps are an eighth of the picture rounded down."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from psp.model.architecture import Architecture
from psp.model.backbones.backbone import Backbone


class Patches(Backbone):
    """Squares of 8x8 pixels, and two convolutions over them."""

    channels = (24, 48)
    stages: Mapping[str, tuple[str, ...]] = {
        "stem": ("patches", "norm"),
        "stage2": (),
        "stage3": (),
        "stage4": ("four",),
        "stage5": ("five",),
    }
    folds = (("patches", "norm"),)

    def __init__(self, spec: Architecture) -> None:
        super().__init__(spec)
        self.patches = nn.Conv2d(3, 24, 8, stride=8, bias=False)
        self.norm = nn.BatchNorm2d(24, momentum=spec.norm_momentum)
        self.four = nn.Conv2d(24, 24, 3, padding=1)
        self.five = nn.Conv2d(24, 48, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 3, H, W) to (B, 24, h, w) and (B, 48, h, w), h = floor(H / 8)."""
        x = F.relu(self.norm(self.patches(images)))
        stage4 = F.relu(self.four(x))
        return stage4, F.relu(self.five(stage4))

    @staticmethod
    def map_side(side: int) -> int:
        """Return the side of the maps for a picture's side."""
        return side // 8

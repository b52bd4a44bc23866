"""ConvNeXt-Tiny as in torchvision, with stages 4 and 5 dilated so that they keep 1/8 of the size.

torchvision numbers the parts `features.0` to `features.7`: the stem, then by turns the blocks of a
stage and the convolution before the next. Names and shapes are the same here, so that its weights
fit. The 2x2 convolutions before stages 4 and 5 stride by 1 instead of 2, and the taps of what comes
after them lie 2 and 4 pixels apart. So every second pixel of stage 4 and every fourth of stage 5 is
exactly what torchvision computes.

A dilated ResNet sees the surroundings of every eighth pixel of the picture, the first and, of 8n+1,
the last among them. Loss and inference expect that. This stem cuts the picture into squares, so the
picture is padded: of 8n+1 pixels by 7 in front and 8 behind. Each pixel of the maps then lies half
a pixel beside an eighth one, and there are n+1.

Sources: Liu et al., "A ConvNet for the 2020s", CVPR 2022; torchvision models/convnext.py.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psp.model.architecture import Architecture
from psp.model.backbones.backbone import Backbone, InitialWeights

WIDTHS = (96, 192, 384, 768)  # channels of stages 2 to 5
BLOCKS = (3, 3, 9, 3)
DILATIONS = (1, 1, 2, 4)
DROP_PATH = 0.1  # share of pictures for which the last block is left out; less for those before it
LAYER_SCALE = 1e-6  # what blocks are multiplied by at first


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Permute(nn.Module):
    """Another order of the axes; a module, so that the others are numbered as in torchvision."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor to itself with its axes in another order."""
        return x.permute(self.axes)


class Block(nn.Module):
    """A depthwise 7x7 convolution, then for each pixel layer norm and two linear layers."""

    def __init__(self, width: int, dilation: int, drop: float) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(torch.full((width, 1, 1), LAYER_SCALE))
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 7, padding=3 * dilation, dilation=dilation, groups=width),
            Permute(0, 2, 3, 1),  # (B, h, w, width)
            nn.LayerNorm(width, eps=1e-6),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            Permute(0, 3, 1, 2),  # (B, width, h, w)
        )
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, h, w) to the same shape."""
        y: Tensor = self.layer_scale * self.block(x)
        if self.training and self.drop > 0:  # stochastic depth, Huang et al. 2016
            kept = torch.empty(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)
            y = y * kept.bernoulli_(1 - self.drop).div_(1 - self.drop)
        return x + y


class DilatedConvNeXt(Backbone):
    """ConvNeXt-Tiny of output stride 8. The settings of stem and batch norms mean nothing to it."""

    stages: Mapping[str, tuple[str, ...]] = {
        "stem": ("features.0",),
        "stage2": ("features.1",),
        "stage3": ("features.2", "features.3"),
        "stage4": ("features.4", "features.5"),
        "stage5": ("features.6", "features.7"),
    }

    def __init__(self, spec: Architecture) -> None:
        super().__init__(spec)
        self.channels = WIDTHS[2:]
        total, before = sum(BLOCKS), 0
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, WIDTHS[0], 4, stride=4), ChannelNorm(WIDTHS[0], eps=1e-6))
        )
        for index, (width, count) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            if index > 0:
                self.features.append(_between(index))
            drops = [DROP_PATH * (before + number) / (total - 1) for number in range(count)]
            self.features.append(
                nn.Sequential(*(Block(width, DILATIONS[index], drop) for drop in drops))
            )
            before += count
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        # Padding is zero. With a bias of zero the norm after the stem would divide zero by almost
        # nothing there, and the gradient of the bias would be a thousand times too large.
        stem = self.features[0].get_submodule("0").get_parameter("bias")
        nn.init.uniform_(stem, -0.1, 0.1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 3, H, W) to stage 4 (B, 384, h, w) and stage 5 (B, 768, h, w), h = ceil(H/8)."""
        down, across = (8 * (self.map_side(side) + 1) - side for side in images.shape[2:])
        x = F.pad(images, (across // 2, across - across // 2, down // 2, down - down // 2))
        x = self.features[:4](x)  # (B, 192, h + 1, w + 1)
        stage4 = self.features[4:6](x)
        return stage4, self.features[6:](stage4)

    @staticmethod
    def initial_weights(spec: Architecture) -> tuple[InitialWeights, ...]:
        """Return torchvision's."""
        file = "convnext_tiny-983f1562.pth"
        address = f"https://download.pytorch.org/models/{file}"
        title = "torchvision's convnext_tiny IMAGENET1K_V1"
        return (InitialWeights("imagenet", title, address, file, "983f1562"),)

    @staticmethod
    def own_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return torchvision's tensors without the classifier and the norm before it."""
        return {n: tensor for n, tensor in tensors.items() if not n.startswith("classifier.")}


def _between(index: int) -> nn.Sequential:
    """Return the layer norm and the 2x2 convolution before a stage; before the last two, its taps
    lie as far apart as the stage before it is dilated."""
    in_channels, out_channels, apart = WIDTHS[index - 1], WIDTHS[index], DILATIONS[index - 1]
    if DILATIONS[index] == 1:
        conv = nn.Conv2d(in_channels, out_channels, 2, stride=2)
    else:  # taps 1 apart take a pixel from the map's side, taps 2 apart keep it
        conv = nn.Conv2d(in_channels, out_channels, 2, dilation=apart, padding=apart // 2)
    return nn.Sequential(ChannelNorm(in_channels, eps=1e-6), conv)

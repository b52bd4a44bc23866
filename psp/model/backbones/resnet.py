"""Dilated residual networks: stages 4 and 5 keep 1/8 of the input's size.

Stage names are the paper's: the stem is stage 1, then stages 2 to 5. The modules are called
`layer1` to `layer4` as in torchvision and semseg, so that those weights fit by name.
Sources: He et al. 2016; Yu et al. 2017 (dilation); semseg model/resnet.py (the deep stem, stride
in the 3x3); the Caffe release's prototxt files.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from psp.model.architecture import Architecture
from psp.model.backbones.backbone import Backbone, InitialWeights

# Blocks in stages 2 to 5. ResNet-269 is the authors' deepest: 3 * (3 + 30 + 48 + 8) + 2 layers.
BLOCKS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
    "resnet269": (3, 30, 48, 8),
}


BASIC = ("resnet18", "resnet34")  # of basic blocks; the others are of bottlenecks


def backbone_of(names: Iterable[str]) -> str | None:
    """Return the backbone whose tensors have these names (layer1.0.conv1.weight, ...), or None."""
    counts, deepest = [0, 0, 0, 0], 0
    for name in names:
        if match := re.fullmatch(r"layer([1-4])\.(\d+)\.conv([123])\.weight", name):
            stage, block, convolution = map(int, match.groups())
            counts[stage - 1] = max(counts[stage - 1], block + 1)
            deepest = max(deepest, convolution)
    for backbone, blocks in BLOCKS.items():
        if list(blocks) == counts and (backbone in BASIC) == (deepest == 2):
            return backbone
    return None


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3x3 convolution without bias that keeps the size at stride 1."""
    return nn.Conv2d(
        in_channels, out_channels, 3, stride=stride, padding=dilation, dilation=dilation, bias=False
    )


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (depths 18 and 34). `first_dilation` is that of the strided one.

    The second is not dilated if `first_only`, as in mmsegmentation.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        first_dilation: int,
        dilation: int,
        momentum: float,
        *,
        first_only: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride, first_dilation)
        self.bn1 = nn.BatchNorm2d(width, momentum=momentum)
        self.conv2 = conv3x3(width, width, 1, 1 if first_only else dilation)
        self.bn2 = nn.BatchNorm2d(width, momentum=momentum)
        self.downsample = _shortcut(in_channels, width, stride, momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.downsample(x)
        return F.relu(y, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 (depths 50 and more).

    The stride is in the 3x3, as in semseg, or in the first 1x1 (`stride_in_1x1`), as in the Caffe
    release's network of 50 layers.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        first_dilation: int,
        dilation: int,
        momentum: float,
        *,
        stride_in_1x1: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = conv1x1(in_channels, width, stride if stride_in_1x1 else 1)
        self.bn1 = nn.BatchNorm2d(width, momentum=momentum)
        self.conv2 = conv3x3(width, width, 1 if stride_in_1x1 else stride, first_dilation)
        self.bn2 = nn.BatchNorm2d(width, momentum=momentum)
        self.conv3 = conv1x1(width, 4 * width)
        self.bn3 = nn.BatchNorm2d(4 * width, momentum=momentum)
        self.downsample = _shortcut(in_channels, 4 * width, stride, momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, 4 * width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        y += self.downsample(x)
        return F.relu(y, inplace=True)


def _shortcut(in_channels: int, out_channels: int, stride: int, momentum: float) -> nn.Module:
    """The identity where shapes agree, else a strided 1x1 convolution with batch norm."""
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    return nn.Sequential(
        conv1x1(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels, momentum=momentum)
    )


# torchvision's first version, trained as in the paper's time, and its second, by a longer recipe;
# both for the 7x7 stem. A name ends with the first digits of the file's checksum.
TORCHVISION = "https://download.pytorch.org/models/"
FIRST = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "resnet152": "resnet152-394f9c45.pth",
}
SECOND = {
    "resnet50": "resnet50-11ad3fa6.pth",
    "resnet101": "resnet101-cd907fc2.pth",
    "resnet152": "resnet152-f82ba261.pth",
}
# timm's of the paper's own topology (three 3x3 convolutions of 64, 64, 128, stride in the 3x3),
# trained by gluon; Apache-2.0. No checksums are published.
TIMM = "https://huggingface.co/timm/{name}/resolve/main/model.safetensors"
DEEP = {"resnet50": "resnet50s", "resnet101": "resnet101s", "resnet152": "resnet152s"}
# Where timm's deep stem, conv1.0 to conv1.6 and bn1, lies in ours.
TIMM_STEM = {
    "conv1.0": "conv1",
    "conv1.1": "bn1",
    "conv1.3": "conv2",
    "conv1.4": "bn2",
    "conv1.6": "conv3",
    "bn1": "bn3",
}
# Open-mmlab's for a deep stem of 32, 32, 64 channels, with which mmsegmentation starts. A name ends
# with the first digits of the file's checksum.
OPEN_MMLAB = "https://download.openmmlab.com/pretrain/third_party/"
V1C = {
    "resnet18": "resnet18_v1c-b5776b93.pth",
    "resnet50": "resnet50_v1c-2cccc1ad.pth",
    "resnet101": "resnet101_v1c-e67eebb6.pth",
}
V1C_WIDTHS = (32, 32, 64)
V1C_STEM = {
    f"stem.{index}": name
    for index, name in enumerate(("conv1", "bn1", "", "conv2", "bn2", "", "conv3", "bn3"))
}
CLASSIFIER = ("fc.weight", "fc.bias")


class DilatedResNet(Backbone):
    """A residual network of output stride 8; `channels` are those of its stages 4 and 5."""

    # "0" and "1": of a shortcut.
    folds = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"))

    def __init__(self, spec: Architecture) -> None:
        super().__init__(spec)
        momentum = spec.norm_momentum
        self.deep = spec.stem == "deep"
        if self.deep:
            one, two, stem = spec.stem_widths
            self.conv1 = conv3x3(3, one, stride=2)
            self.bn1 = nn.BatchNorm2d(one, momentum=momentum)
            self.conv2 = conv3x3(one, two)
            self.bn2 = nn.BatchNorm2d(two, momentum=momentum)
            self.conv3 = conv3x3(two, stem)
            self.bn3 = nn.BatchNorm2d(stem, momentum=momentum)
        else:
            stem = 64
            self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(64, momentum=momentum)
        block: Callable[..., nn.Module]
        if spec.backbone in BASIC:
            block = partial(BasicBlock, first_only=spec.basic_dilation == "first")
            expansion = BasicBlock.expansion
        else:
            block = partial(Bottleneck, stride_in_1x1=spec.stride_in == "1x1")
            expansion = Bottleneck.expansion
        counts = BLOCKS[spec.backbone]
        out = [width * expansion for width in (64, 128, 256, 512)]

        def stage(in_channels: int, index: int, stride: int, dilation: int) -> nn.Sequential:
            width = 64 << index
            half = spec.first_dilation == "half" and dilation > 1
            first = block(
                in_channels, width, stride, dilation // 2 if half else dilation, dilation, momentum
            )
            rest = (
                block(out[index], width, 1, dilation, dilation, momentum)
                for _ in range(counts[index] - 1)
            )
            return nn.Sequential(first, *rest)

        self.layer1 = stage(stem, 0, stride=1, dilation=1)
        self.layer2 = stage(out[0], 1, stride=2, dilation=1)
        self.layer3 = stage(out[1], 2, stride=1, dilation=2)
        self.layer4 = stage(out[2], 3, stride=1, dilation=4)
        self.channels = (out[2], out[3])
        deep_stem = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
        self.stages = {
            "stem": deep_stem if self.deep else deep_stem[:2],
            "stage2": ("layer1",),
            "stage3": ("layer2",),
            "stage4": ("layer3",),
            "stage5": ("layer4",),
        }
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015, for training from scratch
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 3, H, W) to stage 4 (B, 1024, h, w) and stage 5 (B, 2048, h, w), h = ceil(H/8).

        Depths 18 and 34 have 256 and 512 channels there.
        """
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)  # (B, 64, H/2, W/2)
        if self.deep:
            x = F.relu(self.bn2(self.conv2(x)), inplace=True)
            x = F.relu(self.bn3(self.conv3(x)), inplace=True)  # (B, 128, H/2, W/2)
        x = F.max_pool2d(x, 3, stride=2, padding=1)  # (B, 64 or 128, H/4, W/4)
        x = self.layer1(x)
        x = self.layer2(x)  # (B, 512, H/8, W/8)
        stage4 = self.layer3(x)
        return stage4, self.layer4(stage4)

    @staticmethod
    def initial_weights(spec: Architecture) -> tuple[InitialWeights, ...]:
        """Return timm's for the deep stem, or open-mmlab's; torchvision's for the 7x7 one."""
        if spec.stem == "deep" and spec.stem_widths == V1C_WIDTHS and spec.backbone in V1C:
            file = V1C[spec.backbone]
            digits = file.partition("-")[2].removesuffix(".pth")
            title = f"open-mmlab's {file.partition('-')[0]}"
            return (InitialWeights("imagenet", title, OPEN_MMLAB + file, file, digits),)
        if spec.stem == "deep":
            if spec.backbone not in DEEP or spec.stem_widths != Architecture.stem_widths:
                return ()
            name = f"{DEEP[spec.backbone]}.gluon_in1k"
            address = TIMM.format(name=name)
            return (InitialWeights("imagenet", f"timm's {name}", address, f"{name}.safetensors"),)
        return tuple(
            InitialWeights(
                name,
                f"torchvision's {spec.backbone} {version}",
                TORCHVISION + files[spec.backbone],
                files[spec.backbone],
                files[spec.backbone].partition("-")[2].removesuffix(".pth"),
            )
            for name, version, files in (
                ("imagenet", "IMAGENET1K_V1", FIRST),
                ("imagenet-v2", "IMAGENET1K_V2", SECOND),
            )
            if spec.backbone in files
        )

    @staticmethod
    def own_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors by our names: torchvision's are the same, others' deep stem is not."""
        kept = {name: tensor for name, tensor in tensors.items() if name not in CLASSIFIER}
        theirs = TIMM_STEM if "conv1.0.weight" in kept else V1C_STEM
        found = {}
        for name, tensor in kept.items():
            part, _, kind = name.rpartition(".")
            found[f"{theirs.get(part, part)}.{kind}"] = tensor
        return found

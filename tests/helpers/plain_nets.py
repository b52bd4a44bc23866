"""mmsegmentation's and CSAIL's PSPNets as plain modules, written from their definitions.

They know nothing of psp; their tensors have the names that those programs save.
"""

import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def conv(inputs, outputs, size, stride=1, dilation=1):
    padding = dilation * (size // 2)
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False)


class ConvModule(nn.Module):
    """mmcv's: convolution, batch norm, ReLU."""

    def __init__(self, inputs, outputs, size):
        super().__init__()
        self.conv = conv(inputs, outputs, size)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Residual(nn.Module):
    """A block of both programs; `dilations` are those of its 3x3 convolutions, in order."""

    def __init__(self, inputs, width, stride, dilations, deep):
        super().__init__()
        outputs = 4 * width if deep else width
        if deep:
            self.conv1 = conv(inputs, width, 1)
            self.conv2 = conv(width, width, 3, stride, dilations[0])
            self.conv3 = conv(width, outputs, 1)
            self.bn3 = nn.BatchNorm2d(outputs)
        else:
            self.conv1 = conv(inputs, width, 3, stride, dilations[0])
            self.conv2 = conv(width, width, 3, 1, dilations[1])
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "conv3"):
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class MMBackbone(nn.Module):
    """ResNetV1c (or ResNet, with the 7x7 stem): dilations 1, 1, 2, 4, contracted in first blocks.

    A basic block dilates its first convolution alone.
    """

    def __init__(self, depth, deep_stem):
        super().__init__()
        self.deep_stem = deep_stem
        if deep_stem:
            self.stem = nn.Sequential(
                conv(3, 32, 3, 2),
                nn.BatchNorm2d(32),
                nn.ReLU(),
                conv(32, 32, 3),
                nn.BatchNorm2d(32),
                nn.ReLU(),
                conv(32, 64, 3),
                nn.BatchNorm2d(64),
                nn.ReLU(),
            )
        else:
            self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs, deep = 64, depth >= 50
        for stage, (count, stride, dilation) in enumerate(
            zip(BLOCKS[depth], (1, 2, 1, 1), (1, 1, 2, 4), strict=True)
        ):
            blocks, width = [], 64 * 2**stage
            for number in range(count):
                first = dilation // 2 if number == 0 and dilation > 1 else dilation
                step = stride if number == 0 else 1
                blocks.append(Residual(inputs, width, step, (first, 1), deep))
                inputs = 4 * width if deep else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, x):
        x = self.stem(x) if self.deep_stem else F.relu(self.bn1(self.conv1(x)))
        x = self.layer2(self.layer1(F.max_pool2d(x, 3, 2, 1)))
        four = self.layer3(x)
        return four, self.layer4(four)


class MMHead(nn.Module):
    def __init__(self, inputs, width, classes):
        super().__init__()
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), ConvModule(inputs, width, 1))
            for size in (1, 2, 3, 6)
        )
        self.bottleneck = ConvModule(inputs + 4 * width, width, 3)
        self.conv_seg = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        parts = [x] + [
            F.interpolate(level(x), x.shape[2:], mode="bilinear", align_corners=False)
            for level in self.psp_modules
        ]
        return self.conv_seg(self.bottleneck(torch.cat(parts, 1)))


class MMAux(nn.Module):
    def __init__(self, inputs, width, classes):
        super().__init__()
        self.convs = nn.Sequential(ConvModule(inputs, width, 3))
        self.conv_seg = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        return self.conv_seg(self.convs(x))


class MMSegmentation(nn.Module):
    """pspnet_rDEPTH-d8: main and auxiliary logits at 1/8."""

    def __init__(self, depth, classes, deep_stem=True):
        super().__init__()
        self.backbone = MMBackbone(depth, deep_stem)
        deepest, width, aux = (2048, 512, 256) if depth >= 50 else (512, 128, 64)
        self.decode_head = MMHead(deepest, width, classes)
        self.auxiliary_head = MMAux(deepest // 2, aux, classes)

    def forward(self, x):
        four, five = self.backbone(x)
        return self.decode_head(five), self.auxiliary_head(four)


class CSAILEncoder(nn.Module):
    """resnetDEPTHdilated: a ResNet with strides in stages 4 and 5, which are then taken out.

    A convolution that strided gets half of the stage's dilation, every other 3x3 the whole.
    """

    def __init__(self, depth):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 3, 2), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = conv(64, 64, 3), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = conv(64, 128, 3), nn.BatchNorm2d(128)
        inputs, deep = 128, depth >= 50
        for stage, count in enumerate(BLOCKS[depth]):
            blocks, width = [], 64 * 2**stage
            for number in range(count):
                stride = 2 if number == 0 and stage > 0 else 1
                blocks.append(Residual(inputs, width, stride, (1, 1), deep))
                inputs = 4 * width if deep else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        for layer, dilation in ((self.layer3, 2), (self.layer4, 4)):
            for module in layer.modules():
                if isinstance(module, nn.Conv2d):
                    strided = module.stride == (2, 2)
                    module.stride = (1, 1)
                    if module.kernel_size == (3, 3):
                        amount = dilation // 2 if strided else dilation
                        module.dilation = module.padding = (amount, amount)

    def forward(self, x):
        for number in (1, 2, 3):
            x = getattr(self, f"conv{number}")(x)
            x = F.relu(getattr(self, f"bn{number}")(x))
        x = self.layer2(self.layer1(F.max_pool2d(x, 3, 2, 1)))
        four = self.layer3(x)
        return four, self.layer4(four)


class CSAILDecoder(nn.Module):
    """ppm_deepsup: levels of 512 channels at any depth, the auxiliary head of a quarter."""

    def __init__(self, deepest, classes):
        super().__init__()
        self.ppm = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(size), conv(deepest, 512, 1), nn.BatchNorm2d(512), nn.ReLU()
            )
            for size in (1, 2, 3, 6)
        )
        aux = deepest // 4
        self.cbr_deepsup = nn.Sequential(conv(deepest // 2, aux, 3), nn.BatchNorm2d(aux), nn.ReLU())
        self.conv_last = nn.Sequential(
            conv(deepest + 4 * 512, 512, 3),
            nn.BatchNorm2d(512),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Conv2d(512, classes, 1),
        )
        self.conv_last_deepsup = nn.Conv2d(aux, classes, 1)

    def forward(self, stages):
        four, five = stages
        parts = [five] + [
            F.interpolate(level(five), five.shape[2:], mode="bilinear", align_corners=False)
            for level in self.ppm
        ]
        return self.conv_last(torch.cat(parts, 1)), self.conv_last_deepsup(self.cbr_deepsup(four))


def randomize(module, seed=0):
    """Give every tensor of a module random values at which signals keep their size."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(0.6 + 0.8 * torch.rand(tensor.shape, generator=generator))
        elif tensor.ndim == 4:
            tensor.copy_(noise * (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith(("bias", "running_mean")):
            tensor.copy_(0.1 * noise)
        else:
            tensor.copy_(0.3 + 0.4 * torch.rand(tensor.shape, generator=generator))
    return module.eval()

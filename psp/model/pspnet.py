"""PSPNet: a dilated network, the pyramid, two classifiers.

Source: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, sections 3.2 and 3.3; details from
the authors' releases (hszhao/PSPNet prototxt files, hszhao/semseg model/pspnet.py).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from psp.model.architecture import Architecture
from psp.model.backbones.backbone import Backbone, find_backbone
from psp.model.pyramid import PyramidConv


class Logits(NamedTuple):
    """Class scores at 1/8 of the input's size, (B, classes, h, w). `aux`: only while training."""

    main: Tensor
    aux: Tensor | None


class Head(nn.Module):
    """A 3x3 convolution, batch norm, ReLU, dropout, and a 1x1 classifier."""

    def __init__(self, conv: nn.Module, width: int, spec: Architecture) -> None:
        super().__init__()
        self.conv = conv
        self.bn = nn.BatchNorm2d(width, momentum=spec.norm_momentum)
        dropout = nn.Dropout2d if spec.dropout_kind == "channel" else nn.Dropout
        self.dropout = dropout(spec.dropout)
        self.classifier = nn.Conv2d(width, spec.classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, h, w) to logits (B, classes, h, w)."""
        return self.classify(self.conv(x))

    def classify(self, y: Tensor) -> Tensor:
        """Map what the convolution gives, (B, width, h, w), to logits (B, classes, h, w)."""
        logits: Tensor = self.classifier(self.dropout(F.relu(self.bn(y), inplace=True)))
        return logits


class PSPNet(nn.Module):
    """Maps normalized pictures (B, 3, H, W) to `Logits` of (B, classes, h, w).

    h and w are what `backbone.map_side` makes of H and W. `head` holds the pyramid.
    """

    def __init__(
        self, spec: Architecture, backbone: Backbone, head: Head, aux: Head | None
    ) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        self.head = head
        self.aux = aux

    def forward(self, images: Tensor) -> Logits:
        """Return the logits; the auxiliary ones only in training mode."""
        stage4, stage5 = self.backbone(images)  # (B, 1024, h, w), (B, 2048, h, w)
        main = self.head(stage5)  # (B, classes, h, w)
        aux = self.aux(stage4) if self.aux is not None and self.training else None
        return Logits(main, aux)

    def use_plain_head(self, plain: bool) -> None:
        """Compute the pyramid's convolution by the paper's formula (True) or factored (False)."""
        assert isinstance(self.head.conv, PyramidConv)
        self.head.conv.plain = plain


def build(spec: Architecture) -> PSPNet:
    """Return the network of an architecture, randomly initialized from torch's generator.

    Raises PspError for a backbone that cannot be loaded.
    """
    backbone = find_backbone(spec.backbone)(spec)
    deep, deepest = backbone.channels
    pyramid = PyramidConv(
        deepest,
        spec.head_width,
        spec.bins,
        pooling=spec.pooling,
        reduce=spec.reduce,
        level_width=spec.level_width,
        align_corners=spec.align_corners,
        momentum=spec.norm_momentum,
    )
    head = Head(pyramid, spec.head_width, spec)
    aux = None
    if spec.aux:
        conv = nn.Conv2d(deep, spec.aux_width, 3, padding=1, bias=False)
        aux = Head(conv, spec.aux_width, spec)
    return PSPNet(spec, backbone, head, aux)


class _Undrawn(TorchFunctionMode):
    """Leaves parameters as they are made: no initial values are drawn."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch, unless it sets initial values."""
        if getattr(func, "__module__", "") == "torch.nn.init" or func in _DRAWS:
            return args[0] if args else next(iter(kwargs.values()))
        return func(*args, **(kwargs or {}))


_DRAWS = (Tensor.uniform_, Tensor.normal_)


def build_shapes(spec: Architecture) -> PSPNet:
    """Return the network of an architecture on the meta device: shapes, types, no values.

    Drawing values there does nothing, but torch loads sympy for it, which takes 1.5 seconds.
    """
    with torch.device("meta"), _Undrawn():
        return build(spec)


def upsample(logits: Tensor, size: tuple[int, int], *, align_corners: bool = True) -> Tensor:
    """Bring (B, classes, h, w) to (B, classes, *size), bilinearly."""
    return F.interpolate(logits, size, mode="bilinear", align_corners=align_corners)

"""A network for inference alone: batch norm folded into the convolutions before it.

At test time a batch norm multiplies each channel by a constant and adds another, so the convolution
before it can do both by its own weights and a bias. The products are taken in float64 and rounded
once: logits change by less than 1e-5 of their range. Other norms, such as layer norms, stay.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from psp.model.pspnet import PSPNet
from psp.model.pyramid import PyramidConv

# A convolution and the batch norm after it, by their names in one module, of pyramid and head; a
# backbone says its own.
HEAD_FOLDS = (("conv", "bn"),)


class OwnTypeConv2d(nn.Conv2d):
    """A convolution that computes in the type of its own weight, whatever its input's is."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w)."""
        return super().forward(x.to(self.weight.dtype))


@torch.no_grad()
def fold(network: PSPNet, precision: torch.dtype) -> PSPNet:
    """Turn a network into one for inference, in place, and return it.

    Its weights become `precision`, channels last. The classifier keeps its type: it costs next to
    nothing, and in bfloat16 the scores would have three digits. The auxiliary head is removed.
    """
    network.eval().requires_grad_(False)
    network.aux = None
    for parent, norm_name, conv, norm in _pairs(network):
        weight, bias = _products(conv, norm)
        conv.weight = nn.Parameter(weight.to(conv.weight), requires_grad=False)
        conv.bias = nn.Parameter(bias.to(conv.weight), requires_grad=False)
        setattr(parent, norm_name, nn.Identity())
    plain = network.head.classifier
    classifier = OwnTypeConv2d(plain.in_channels, plain.out_channels, 1, device=plain.weight.device)
    classifier.load_state_dict(plain.state_dict())
    network.to(precision)
    network.head.classifier = classifier.requires_grad_(False)
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def refold(folded: PSPNet, network: PSPNet) -> None:
    """Bring what `fold` made of a copy of `network` up to date with it, in its own tensors.

    The bits are those of a new copy, and nothing is allocated for long.
    """
    names = {module: name for name, module in network.named_modules()}
    values = network.state_dict()
    for _, _, conv, norm in _pairs(network):
        weight, bias = _products(conv, norm)
        # Rounded to the training's type first, as `fold` does.
        values[f"{names[conv]}.weight"] = weight.to(conv.weight)
        values[f"{names[conv]}.bias"] = bias.to(conv.weight)
    for name, tensor in folded.state_dict().items():
        tensor.copy_(values[name])


def _pairs(network: PSPNet) -> list[tuple[nn.Module, str, nn.Conv2d, _BatchNorm]]:
    """Return each batch norm that folds, with its module and name there, and its convolution."""
    found = []
    for root, pairs in ((network.backbone, network.backbone.folds), (network.head, HEAD_FOLDS)):
        for parent in root.modules():
            for conv_name, norm_name in pairs:
                norm = getattr(parent, norm_name, None)
                if isinstance(norm, _BatchNorm):
                    conv = getattr(parent, conv_name)
                    conv = conv.conv if isinstance(conv, PyramidConv) else conv
                    found.append((parent, norm_name, conv, norm))
    return found


def _products(conv: nn.Conv2d, norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Return the weight and the bias of a convolution and its batch norm together, float64."""
    # Where they lie, or the host would wait for each; Apple's GPUs have no float64.
    device = conv.weight.device if conv.weight.device.type != "mps" else "cpu"
    weight, gain, offset, mean, variance = (
        tensor.detach().to(device).double()
        for tensor in (conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        if tensor is not None
    )
    factor = gain / (variance + norm.eps).sqrt()  # (out_channels,)
    bias = offset - mean * factor
    if conv.bias is not None:
        bias += conv.bias.detach().to(device).double() * factor
    return weight * factor[:, None, None, None], bias

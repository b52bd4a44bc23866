"""A network for inference alone: batch norm folded into the convolutions before it.

At test time a batch norm multiplies each channel by a constant and adds another, so the convolution
before it can do both by its own weights and a bias. The products are taken in float64 and rounded
once: logits change by less than 1e-5 of their range. Other norms, such as layer norms, stay.
"""

import torch
from torch import Tensor, nn

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
    _fold_pairs(network.backbone, network.backbone.folds)
    _fold_pairs(network.head, HEAD_FOLDS)
    plain = network.head.classifier
    classifier = OwnTypeConv2d(plain.in_channels, plain.out_channels, 1, device=plain.weight.device)
    classifier.load_state_dict(plain.state_dict())
    network.to(precision)
    network.head.classifier = classifier.requires_grad_(False)
    return network.to(memory_format=torch.channels_last)


def _fold_pairs(root: nn.Module, pairs: tuple[tuple[str, str], ...]) -> None:
    """Fold the pairs of these names in all modules of `root`."""
    for parent in list(root.modules()):
        for conv_name, norm_name in pairs:
            norm = getattr(parent, norm_name, None)
            if isinstance(norm, nn.BatchNorm2d):
                conv = getattr(parent, conv_name)
                _fold_pair(conv.conv if isinstance(conv, PyramidConv) else conv, norm)
                setattr(parent, norm_name, nn.Identity())


def _fold_pair(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    # On the CPU: not every accelerator has float64.
    weight, gain, offset, mean, variance = (
        tensor.detach().cpu().double()
        for tensor in (conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        if tensor is not None
    )
    factor = gain / (variance + norm.eps).sqrt()  # (out_channels,)
    bias = offset - mean * factor
    if conv.bias is not None:
        bias += conv.bias.detach().cpu().double() * factor
    kind = conv.weight
    conv.weight = nn.Parameter((weight * factor[:, None, None, None]).to(kind), requires_grad=False)
    conv.bias = nn.Parameter(bias.to(kind), requires_grad=False)

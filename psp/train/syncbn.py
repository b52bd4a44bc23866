"""Batch norm over the pictures of all ranks, as if they were one batch.

Between GPUs it is `CudaSyncNorm`, of torch's kernels, which there are for GPUs alone; on CPUs it is
`SyncNorm`. Names and shapes of tensors stay those of a plain batch norm, so weights are the same
files for any number of ranks.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from psp.train.syncbn_cuda import CudaSyncNorm

Group = distributed.ProcessGroup


def synchronize(network: nn.Module, group: Group, device: torch.device) -> None:
    """Replace every batch norm of a network, in place, by one over all ranks of `group`.

    Parameters stay the same objects, so that an optimizer's references stay valid.
    """
    kind = CudaSyncNorm if device.type == "cuda" else SyncNorm
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, kind(norm, group))


class SyncNorm(nn.BatchNorm2d):
    """A batch norm whose batch is that of all ranks; their parts may differ in size."""

    def __init__(self, norm: nn.BatchNorm2d, group: Group) -> None:
        """Take over the tensors of `norm`, which must keep running statistics."""
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.__dict__.update(norm.__dict__)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        if not self.training:
            return super().forward(x)
        assert self.num_batches_tracked is not None and self.momentum is not None
        assert self.running_mean is not None and self.running_var is not None
        output, mean, variance, count = _Normalize.apply(
            x, self.weight, self.bias, self.eps, self.group
        )
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            unbiased = variance * (count / (count - 1))
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        normalized: Tensor = output
        return normalized


class _Normalize(torch.autograd.Function):
    """Normalize by the mean and the (biased) variance over all ranks; both float64, with count."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, group: Group
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own, center = torch.var_mean(x.to(weight), dim=(0, 2, 3), correction=0)  # (C,) each
        size = torch.tensor([x.numel() / x.shape[1]], dtype=torch.float64)
        own, center = own.double(), center.double()
        # Sums in float64: the subtraction below loses no digit that float32 had.
        sums = torch.cat([size, size * center, size * (own + center**2)])  # (1 + 2C,)
        distributed.all_reduce(sums, group=group)
        count = sums[0]
        mean, square = (sums[1:] / count).chunk(2)  # (C,) each
        variance = (square - mean**2).clamp(min=0)
        context.save_for_backward(x, weight, mean, variance, count)
        context.eps, context.group = eps, group
        context.mark_non_differentiable(mean, variance, count)
        output = F.batch_norm(x, mean.to(weight), variance.to(weight), weight, bias, eps=eps)
        return output, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = context.saved_tensors
        inverse = (variance + context.eps).rsqrt()  # (C,), float64
        scaled = (x - _map(mean, x)) * _map(inverse, x)  # (B, C, H, W), mean 0, variance 1
        along = (gradient.to(weight) * scaled.to(weight)).sum((0, 2, 3))
        level = gradient.to(weight).sum((0, 2, 3))
        # The parameters' gradients are this rank's alone: DDP adds those of the others.
        sums = torch.cat([level, along]).double()
        distributed.all_reduce(sums, group=context.group)
        means = (sums / count).chunk(2)
        rest = gradient - _map(means[0], x) - scaled * _map(means[1], x)
        return rest * _map(weight * inverse, x), along, level, None, None


def _map(values: Tensor, like: Tensor) -> Tensor:
    """Return (C,) values as (1, C, 1, 1) of the type of `like`."""
    return values.to(like.dtype)[None, :, None, None]

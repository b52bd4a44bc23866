"""Batch norm over the pictures of all ranks on CUDA, where the host waits for nothing.

torch.nn.SyncBatchNorm calls the same kernels, but its host waits three times a layer, 183 times a
forward pass of ResNet-50: it leaves out ranks without pixels by a mask, whose size the device alone
knows. In training every rank has as many pixels as the others, so here there is no mask, and the
count needs no gathering.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

Group = distributed.ProcessGroup

# The same in new torch and in old.
_GATHER = next(
    name for name in ("all_gather_single", "all_gather_into_tensor") if hasattr(distributed, name)
)


class CudaSyncNorm(nn.BatchNorm2d):
    """A batch norm whose batch is that of all ranks; their parts must be of the same size."""

    def __init__(self, norm: nn.BatchNorm2d, group: Group) -> None:
        """Take over the tensors of `norm`, which must keep running statistics."""
        super().__init__(norm.num_features, norm.eps, norm.momentum, device="meta")
        self.__dict__.update(norm.__dict__)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        if not self.training:
            return super().forward(x)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        running = self.running_mean, self.running_var, self.momentum
        normalized: Tensor = CudaNormalize.apply(
            x, self.weight, self.bias, *running, self.eps, self.group
        )
        return normalized


class CudaNormalize(torch.autograd.Function):
    """Normalize by the mean and the variance over all ranks, and update running statistics."""

    @staticmethod
    def forward(
        context: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
        group: Group,
    ) -> Tensor:
        x, ranks = _dense(x), distributed.get_world_size(group)
        own = torch.cat(torch.batch_norm_stats(x, eps))  # mean and 1 / deviation, (2C,)
        every = own.new_empty(ranks * len(own))
        getattr(distributed, _GATHER)(every, own, group=group)
        means, inverses = every.view(ranks, 2, -1).unbind(1)  # (ranks, C) each
        counts = torch.full((ranks,), x.numel() // x.shape[1], device=x.device)
        mean, inverse = torch.batch_norm_gather_stats_with_counts(
            x, means, inverses, running_mean, running_var, momentum, eps, counts.to(running_mean)
        )
        context.save_for_backward(x, weight, mean, inverse, counts.int())
        context.group = group
        return torch.batch_norm_elemt(x, weight, bias, mean, inverse, eps)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse, counts = context.saved_tensors
        needed, gradient = context.needs_input_grad[:3], _dense(gradient)
        # The parameters' gradients are this rank's alone: DDP adds those of the others.
        level, along, of_weight, of_bias = torch.batch_norm_backward_reduce(
            gradient, x, mean, inverse, weight, *needed
        )
        of_input = None
        if needed[0]:
            sums = torch.cat([level, along])  # (2C,)
            distributed.all_reduce(sums, group=context.group)
            level, along = sums.chunk(2)
            of_input = torch.batch_norm_backward_elemt(
                gradient, x, mean, inverse, weight.to(mean), level, along, counts
            )
        return of_input, of_weight, of_bias, *[None] * 5


def _dense(x: Tensor) -> Tensor:
    """Return a map in an order of memory that the kernels take."""
    return x if x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()

"""torch's kernels for batch norm in parts, which GPUs alone have, as formulas in plain torch."""

import torch

ALONG = (0, 2, 3)


def _map(values):
    return values[None, :, None, None]


def stats(x, eps):
    """Return mean and 1 / deviation of each channel."""
    variance, mean = torch.var_mean(x, ALONG, correction=0)
    return mean, (variance + eps).rsqrt()


def gather(x, means, inverses, running_mean, running_var, momentum, eps, counts):
    """Return those of all ranks' (ranks, C) together; move running statistics towards them."""
    total = counts.sum()
    share = counts[:, None] / total
    mean = (share * means).sum(0)
    variance = (share * (inverses**-2 - eps + (means - mean) ** 2)).sum(0)
    running_mean.lerp_(mean, momentum)
    running_var.lerp_(variance * total / (total - 1), momentum)
    return mean, (variance + eps).rsqrt()


def elementwise(x, weight, bias, mean, inverse, eps):
    return (x - _map(mean)) * _map(inverse * weight) + _map(bias)


def backward_reduce(gradient, x, mean, inverse, weight, *needed):
    level, along = gradient.sum(ALONG), (gradient * (x - _map(mean))).sum(ALONG)
    return level, along, along * inverse, level.clone()


def backward_elementwise(gradient, x, mean, inverse, weight, level, along, counts):
    total = counts.sum()
    rest = gradient - _map(level / total) - (x - _map(mean)) * _map(inverse**2 * along / total)
    return rest * _map(inverse * weight)


KERNELS = {
    "batch_norm_stats": stats,
    "batch_norm_gather_stats_with_counts": gather,
    "batch_norm_elemt": elementwise,
    "batch_norm_backward_reduce": backward_reduce,
    "batch_norm_backward_elemt": backward_elementwise,
}

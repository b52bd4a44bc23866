"""An exponential moving average of the weights, which is validated and kept instead of them."""

import copy

import torch
from torch import Tensor

from psp.model.pspnet import PSPNet


class Ema:
    """Holds `network`, a copy in evaluation mode whose tensors follow those of another.

    After update k, an average moves towards the weights by 1 - decay, and by more at first
    (9 / (9 + k)), so that the random start is soon forgotten. Running statistics of batch norms are
    averaged too; counters are copied.
    """

    def __init__(self, network: PSPNet, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: PSPNet, updates: int) -> None:
        """Move towards `network` after its optimizer step number `updates`, counted from 1."""
        rate = max(1 - self.decay, 9 / (9 + updates))
        values = network.state_dict()
        averages: list[Tensor] = []
        targets: list[Tensor] = []
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                averages.append(average)
                targets.append(values[name])
            else:
                average.copy_(values[name])
        torch._foreach_lerp_(averages, targets, rate)  # what torch's own averaging calls

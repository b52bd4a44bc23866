"""An exponential moving average of the weights, which is validated and kept instead of them."""

import copy
from itertools import compress

import torch

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
        averages = [*self.network.parameters(), *self.network.buffers()]
        targets = [*network.parameters(), *network.buffers()]
        followed = [average.is_floating_point() for average in averages]
        # One kernel for all: a copy of one tensor at a time costs a step hundreds.
        torch._foreach_lerp_(  # what torch's own averaging calls
            list(compress(averages, followed)), list(compress(targets, followed)), rate
        )
        counters = [not follows for follows in followed]
        torch._foreach_copy_(list(compress(averages, counters)), list(compress(targets, counters)))

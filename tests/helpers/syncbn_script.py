"""Run by torchrun: a SyncNorm on parts of different sizes must be a BatchNorm2d on the whole.

Every rank makes the same batch, takes its part, and compares with what one process computes.
"""

import copy
import os

import torch
from torch import distributed, nn

from psp.train.syncbn import SyncNorm, synchronize

SIZES = (1, 3, 2)  # pictures of each rank


def close(found, expected, tolerance):
    """Assert that two tensors agree, relative to the largest value."""
    difference = (found.double() - expected.double()).abs().max()
    assert difference <= tolerance * expected.double().abs().max(), difference


def compare(kind, tolerance, layout):
    """Two training steps and one in evaluation mode."""
    rank = distributed.get_rank()
    torch.manual_seed(5)
    norm = nn.BatchNorm2d(4, momentum=0.3).to(kind)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    pair = nn.Sequential(copy.deepcopy(norm))
    synchronize(pair, distributed.group.WORLD, torch.device("cpu"))
    synced = pair[0]
    assert type(synced) is SyncNorm and synced.state_dict().keys() == norm.state_dict().keys()
    begin = sum(SIZES[:rank])
    mine = slice(begin, begin + SIZES[rank])
    for step in range(2):
        # A mean far from zero: a careless sum of squares loses the variance.
        whole = (torch.randn(sum(SIZES), 4, 3, 5, dtype=kind) * 0.5 + 30 * (step + 1)).to(
            memory_format=layout
        )
        back = torch.randn(sum(SIZES), 4, 3, 5, dtype=kind)
        one, part = whole.clone().requires_grad_(), whole[mine].clone().requires_grad_()
        expected, found = norm(one), synced(part)
        close(found, expected[mine], tolerance)
        assert found.is_contiguous(memory_format=layout)
        expected.backward(back)
        found.backward(back[mine])
        close(part.grad, one.grad[mine], 10 * tolerance)
        for a, b in zip(synced.parameters(), norm.parameters(), strict=True):
            distributed.all_reduce(a.grad)
            close(a.grad, b.grad, 10 * tolerance)
            a.grad = b.grad = None
        for a, b in zip(synced.buffers(), norm.buffers(), strict=True):
            close(a, b, tolerance)
    norm.eval()
    synced.eval()
    assert torch.equal(
        synced(whole),
        torch.nn.functional.batch_norm(
            whole, synced.running_mean, synced.running_var, synced.weight, synced.bias, eps=norm.eps
        ),
    )


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    for layout in (torch.contiguous_format, torch.channels_last):
        compare(torch.float64, 1e-10, layout)
        compare(torch.float32, 2e-5, layout)
    os._exit(0)  # gloo now and then hangs where it is taken down

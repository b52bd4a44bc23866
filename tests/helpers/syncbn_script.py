"""Run by torchrun: a SyncNorm on parts of different sizes must be a BatchNorm2d on the whole.

Every rank makes the same batch, takes its part, and compares with what one process computes.
"""

import copy
import os

import torch
from norm_kernels import KERNELS
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


def compare_cuda(layout):
    """The one for GPUs against the one for CPUs, on parts of one size: its kernels are played."""
    rank, generator = distributed.get_rank(), torch.Generator().manual_seed(3)
    norm = nn.BatchNorm2d(4, momentum=0.3).double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.normal_(generator=generator)
    cpu, cuda = (nn.Sequential(copy.deepcopy(norm)) for _ in range(2))
    synchronize(cpu, distributed.group.WORLD, torch.device("cpu"))
    synchronize(cuda, distributed.group.WORLD, torch.device("cuda"))
    assert type(cuda[0]) is not type(cpu[0]) and cuda.state_dict().keys() == cpu.state_dict().keys()
    for _ in range(2):
        whole = torch.randn(6, 4, 3, 5, generator=generator, dtype=torch.float64) + 1
        back = torch.randn(6, 4, 3, 5, generator=generator, dtype=torch.float64)
        mine = slice(2 * rank, 2 * rank + 2)
        parts = [whole[mine].clone(memory_format=layout).requires_grad_() for _ in range(2)]
        outputs = [network(part) for network, part in zip((cpu, cuda), parts, strict=True)]
        close(outputs[1], outputs[0], 1e-12)
        assert outputs[1].is_contiguous(memory_format=layout)
        for output in outputs:
            output.backward(back[mine])
        close(parts[1].grad, parts[0].grad, 1e-12)
        for a, b in zip(cuda.parameters(), cpu.parameters(), strict=True):
            close(a.grad, b.grad, 1e-12)
        for a, b in zip(cuda.buffers(), cpu.buffers(), strict=True):
            close(a, b, 1e-12)
    cpu.eval()
    cuda.eval()
    assert torch.equal(cuda(whole), cpu(whole))


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    library = torch.library.Library("aten", "IMPL", "CPU")
    for name, kernel in KERNELS.items():
        library.impl(name, kernel)
    for layout in (torch.contiguous_format, torch.channels_last):
        compare(torch.float64, 1e-10, layout)
        compare(torch.float32, 2e-5, layout)
        compare_cuda(layout)
    os._exit(0)  # gloo now and then hangs where it is taken down

"""A CUDA device that is not there: torch's fake tensors play it.

A fake tensor knows its device, type, sizes and strides, and has no numbers. What reads a number on
the host (`item`, `bool`, `nonzero`: a wait for the GPU) raises, an operation on tensors of two
devices raises, and `Copies` lists what goes between host and device. Not seen: time, numbers,
kernels that a GPU lacks, streams, NCCL, and the backward pass, for which torch asks the driver.
"""

import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import psp
from psp.model import constants, pyramid, resample

CUDA = torch.device("cuda:0")
PACKAGE = f"{Path(psp.__file__).parent}/"
CACHES = (resample.upsampling, constants.kept_on_device, pyramid.spreads)
GPU = {
    "is_available": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "is_bf16_supported": lambda including_emulation=True: True,
    "manual_seed_all": lambda seed: None,
    "mem_get_info": lambda device=None: (80 << 30, 80 << 30),
    "synchronize": lambda device=None: None,
}
_META = torch.library.Library("aten", "IMPL", "Meta")


def frame_of_psp():
    """Return the innermost frame that is in psp's own code, or None."""
    frame = sys._getframe(1)
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame


class Copies(TorchDispatchMode):
    """Lists what goes from one device to another: (operation, line of psp, whether it waits)."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor)]
        name = str(func)
        if len({t.device.type for t in tensors}) > 1 and ("copy" in name or ".to." in name):
            frame = frame_of_psp()
            line = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else "test"
            waits = not (kwargs.get("non_blocking") or any(arg is True for arg in args))
            self.found.append((name, line, waits))
        return out


class Launches(TorchDispatchMode):
    """Lists what is computed on a GPU: (operation, function of psp that asked for it)."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, out)) if isinstance(t, torch.Tensor)]
        kernel = func.namespace == "aten" and not func.is_view and "empty" not in str(func)
        if kernel and any(t.device.type == "cuda" for t in tensors):
            frame = frame_of_psp()
            self.found.append((str(func), frame.f_code.co_name if frame else "test"))
        return out


@pytest.fixture
def fake_cuda(monkeypatch):
    """Pretend that there is a GPU, and let fake tensors be on it; the device."""
    for name, value in GPU.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(FakeTensorMode, "avoid_device_init", property(lambda self: True))
    monkeypatch.setattr(fake_tensor, "init_gpu_context", lambda device: None)
    _teach_kernels()
    for kept in CACHES:
        kept.cache_clear()
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    mode.cache_enabled = False  # else the second like operation is not dispatched
    with mode:
        yield CUDA
    for kept in CACHES:  # what is in them is fake
        kept.cache_clear()


@cache
def _teach_kernels():
    """torch knows no shapes of the results of kernels that GPUs alone have."""

    def shapes(x):
        kind = torch.promote_types(x.dtype, torch.float32)
        return [torch.empty(x.shape[1], dtype=kind, device=x.device) for _ in range(4)]

    kernels = {
        "_fused_sgd_": lambda params, grads, momenta, **settings: None,
        "batch_norm_stats": lambda x, eps: tuple(shapes(x)[:2]),
        "batch_norm_gather_stats_with_counts": lambda x, *rest: tuple(shapes(x)[:2]),
        "batch_norm_elemt": lambda x, *rest: torch.empty_like(x),
        "batch_norm_backward_reduce": lambda gradient, x, *rest: tuple(shapes(x)),
        "batch_norm_backward_elemt": lambda gradient, x, *rest: torch.empty_like(x),
    }
    for name, kernel in kernels.items():
        if not torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "Meta"):
            _META.impl(name, kernel)

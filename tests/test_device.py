"""The device that computes, asked for with a made-up CUDA: what torch is told and asked."""

import pytest
import torch

from psp.device import memory_ran_out, pick_device, pick_precision, precision_text
from psp.errors import PspError

CUDA = torch.device("cuda:1")


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs; `gpus.bf16` says whether they compute bfloat16, `gpus.current` which is current."""

    class Gpus:
        bf16, current = True, 0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: setattr(Gpus, "current", index))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated=True: Gpus.bf16)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: (8, 0) if Gpus.bf16 else (7, 0)
    )
    return Gpus


def test_a_numbered_device_is_current_before_it_is_asked(gpus):
    assert pick_device("cuda:1") == CUDA and gpus.current == 1


def test_bfloat16_that_a_gpu_only_emulates_is_refused_and_auto_takes_float32(gpus):
    assert pick_precision("auto", CUDA) == pick_precision("bf16", CUDA) == torch.bfloat16
    gpus.bf16 = False
    assert pick_precision("auto", CUDA) == torch.float32
    with pytest.raises(PspError, match=r"Old GPU.*fp32"):
        pick_precision("bf16", CUDA)
    assert pick_precision("bf16", torch.device("cpu")) == torch.bfloat16


def test_float32_that_is_tf32_is_called_so(gpus):
    assert "TF32" in precision_text(torch.float32, CUDA)
    assert precision_text(torch.float32, torch.device("cpu")) == "fp32"
    assert precision_text(torch.bfloat16, CUDA) == "bf16"
    gpus.bf16 = False
    assert precision_text(torch.float32, CUDA) == "fp32"


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", False),
        ("CUDA error: device-side assert triggered", False),
    ],
)
def test_memory_that_ran_out_is_recognized_in_each_librarys_words(text, memory):
    assert memory_ran_out(RuntimeError(text)) == memory

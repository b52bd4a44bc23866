"""The device that computes, and in which precision."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from psp.errors import PictureError, PspError
from psp.ranks import device_name

Output = TypeVar("Output")

CPUINFO = Path("/proc/cpuinfo")  # where Linux lists what a processor can


def pick_device(name: str) -> torch.device:
    """Return the device for auto, cpu, cuda, cuda:N or mps. Raises PspError if it is not there.

    A numbered one becomes CUDA's current device, which is the one that torch asks for its abilities
    and on which libraries open their handles.
    """
    name = device_name(name)
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or not (number.isdigit() or name == kind):
        raise PspError(f"--device {name}: one of auto, cpu, cuda, cuda:N, mps.")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise PspError(f"--device {name}: torch sees no CUDA device here. Try --device cpu")
        if number and int(number) >= torch.cuda.device_count():
            raise PspError(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices.")
        if number:
            torch.cuda.set_device(int(number))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise PspError("--device mps: torch sees no Apple GPU here. Try --device cpu")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return bfloat16 or float32; auto takes bfloat16 on a GPU that computes it in hardware.

    Raises PspError for bfloat16 on a GPU that would emulate it, slower than float32.
    """
    if device.type == "cuda" and name in ("bf16", "auto"):
        if torch.cuda.is_bf16_supported(False):
            return torch.bfloat16
        if name == "bf16":
            raise PspError(
                f"bf16: {torch.cuda.get_device_name(device)} does not compute it in hardware (GPUs "
                "since Ampere do). Take precision fp32, which auto takes here"
            )
    return torch.bfloat16 if name == "bf16" else torch.float32


def pick_inference_precision(name: str, device: torch.device) -> torch.dtype:
    """Return as `pick_precision`; auto takes bfloat16 on a CPU that has instructions for it too."""
    if name == "auto" and device.type == "cpu" and _cpu_has_bf16():
        return torch.bfloat16
    return pick_precision(name, device)


def _cpu_has_bf16() -> bool:
    """Whether the processor has instructions for bfloat16: emulated, it is slower than float32.

    The answer is no on anything but Linux, which is asked.
    """
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(text.split())


def precision_name(precision: torch.dtype) -> str:
    """Return fp32 or bf16, as the options call them."""
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}[precision]


def precision_text(precision: torch.dtype, device: torch.device) -> str:
    """Return the precision in which a training computes there, for people.

    cuDNN multiplies float32 in TF32, with 10 bits of mantissa, on GPUs that have it, unless told
    otherwise; training lets it.
    """
    name = precision_name(precision)
    if precision != torch.float32 or device.type != "cuda" or not torch.backends.cudnn.allow_tf32:
        return name
    has_tf32 = torch.cuda.get_device_capability(device) >= (8, 0)
    return f"{name} (convolutions in TF32)" if has_tf32 else name


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """Return the context in which a network computes in `precision`."""
    if precision == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, precision)


@contextmanager
def kernels(*, deterministic: bool) -> Iterator[None]:
    """Let CUDA use kernels that give the same bits each time, or else the fastest.

    Deterministic ones are slower: sums in a fixed order, no search for the fastest convolution. An
    operation without one raises torch's RuntimeError.
    """
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
    )
    if deterministic:  # cuBLAS reads it when the device is first used
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = before[2]


def convolutions(
    device: torch.device, precision: torch.dtype, *, repeats: bool
) -> AbstractContextManager[object]:
    """Return the context of cuDNN's settings in which a network runs.

    float32 is float32 there: cuDNN rounds to TF32 by default. If training has it search for the
    fastest kernel of each shape (`kernels`), it goes on for windows, whose shape
    `repeats`, but not for whole pictures, each of another size. Nothing else begins a search: it
    picks by time, and a picture's result is not to depend on who else computes there.
    """
    if device.type != "cuda":
        return nullcontext()
    cudnn, exact = torch.backends.cudnn, precision == torch.float32
    return cudnn.flags(
        enabled=True,
        benchmark=cudnn.benchmark and repeats and not exact,
        deterministic=cudnn.deterministic,
        allow_tf32=cudnn.allow_tf32 and not exact,
    )


def compiled(
    network: Callable[[Tensor], Output], device: torch.device
) -> Callable[[Tensor], Output]:
    """Return a network on a device through torch.compile, for one shape of input.

    The first call compiles, which takes a minute or more.

    Raises PspError where nothing can be compiled: a CPU needs a C++ compiler, a GPU Triton.
    """
    try:
        torch.compile(_probe, dynamic=False)(torch.zeros(1, device=device))
    except Exception as error:  # each backend raises its own
        # The reason follows a line "backend=... raised:".
        lines = [line for line in str(error).splitlines() if line and line[-1] != ":"]
        raise PspError(
            f"torch.compile does not work here: {lines[0] if lines else type(error).__name__}. It "
            "needs a C++ compiler such as g++ and, for a GPU, Triton. Or run without it"
        ) from None
    return torch.compile(network, dynamic=False)


def _probe(x: Tensor) -> Tensor:
    return x + 1


@contextmanager
def picture_fits(
    where: str, size: tuple[int, int], windows: str, device: torch.device
) -> Iterator[None]:
    """Name the picture of `size` (height, width) for which the memory is not enough.

    `windows` says what went through the network. Raises PspError then, and names the picture of a
    PictureError; other errors pass.
    """
    try:
        yield
    except PictureError as error:
        raise PspError(f"{where}: {error}") from None
    except Exception as error:
        if not memory_ran_out(error):
            raise
        raise PspError(
            f"{where}: not enough memory on {device} for this picture of {size[1]}x{size[0]} with "
            f"{windows}. Try --windows square, a smaller --crop, or --device cpu"
        ) from None


def memory_ran_out(error: BaseException) -> bool:
    """Whether an exception means that the device's memory is not enough.

    torch raises a RuntimeError: a subclass for GPUs, unless cuDNN or cuBLAS asked for the memory;
    none for the CPU, where oneDNN gives no reason at all.
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text
        or "can't allocate memory" in text
        or re.search(r"CU(DNN|BLAS)_STATUS_\w*ALLOC\w*_FAILED", text) is not None
        or text == "could not create a primitive"
    )

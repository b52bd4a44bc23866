"""The engine onnxruntime: runs ONNX graphs, on the CPU or by CUDA where its package can."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from psp.errors import PspError
from psp.model.engines.loaded import Engine
from psp.model.engines.onnx_models import loader
from psp.model.engines.session import Port, Session

_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}


def open_session(data: bytes, device: torch.device, precision: torch.dtype) -> Session:
    """Make an ONNX graph ready. It has as many threads as torch, and no say in its precision."""
    try:
        import onnxruntime
    except ImportError:
        raise PspError(
            "--engine onnxruntime: not installed: pip install onnx onnxruntime"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = torch.get_num_threads()
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    session = onnxruntime.InferenceSession(data, options, providers=providers)
    (taken,), (given, *_) = session.get_inputs(), session.get_outputs()

    def run(images: NDArray[np.generic]) -> NDArray[np.generic]:
        (result,) = session.run([given.name], {taken.name: images})
        array: NDArray[np.generic] = result
        return array

    used = session.get_providers()[0].removesuffix("ExecutionProvider")
    return Session(
        run, _port(taken), _port(given), f"onnxruntime {onnxruntime.__version__} ({used})"
    )


def _port(value: Any) -> Port:
    kind = _TYPES.get(value.type, value.type.removeprefix("tensor(").removesuffix(")"))
    return Port(kind, tuple(side if isinstance(side, int) else None for side in value.shape))


ONNXRUNTIME = Engine(loader(open_session), (torch.float32,))

"""The engine openvino: runs ONNX graphs on Intel's and AMD's processors."""

import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from psp.errors import PspError
from psp.model.engines.loaded import Engine
from psp.model.engines.onnx_models import loader
from psp.model.engines.session import Port, Session

_TYPES = {"f32": "float32", "f16": "float16", "u8": "uint8", "i32": "int32", "i64": "int64"}
_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}


def open_session(data: bytes, device: torch.device, precision: torch.dtype) -> Session:
    """Make an ONNX graph ready on the processor, with as many threads as torch."""
    try:
        import openvino
    except ImportError:
        raise PspError("--engine openvino: not installed: pip install openvino") from None
    core = openvino.Core()
    config = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(core.read_model(data), "CPU", config)
    requests = threading.local()  # a request is for one thread

    def run(images: NDArray[np.generic]) -> NDArray[np.generic]:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        result = requests.own.infer([images], share_inputs=True)
        array: NDArray[np.generic] = result[0]
        return array

    version = openvino.__version__.partition("-")[0]
    return Session(
        run,
        _port(compiled.inputs[0]),
        _port(compiled.outputs[0]),
        f"openvino {version} (CPU, {_HINTS[precision]})",
    )


def _port(value: Any) -> Port:
    kind = value.element_type.get_type_name()
    sides = (side.get_length() if side.is_static else None for side in value.partial_shape)
    return Port(_TYPES.get(kind, kind), tuple(sides))


OPENVINO = Engine(loader(open_session), (torch.float32, torch.bfloat16))

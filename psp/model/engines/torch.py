"""The engine of training: the network itself, its batch norms folded into the convolutions."""

from pathlib import Path

import torch

from psp.errors import PspError
from psp.events import Report
from psp.model.engines.loaded import Engine, Loaded
from psp.model.fold import fold
from psp.model.onnx_metadata import is_onnx
from psp.model.weights import load_network


def load(path: Path, device: torch.device, precision: torch.dtype, report: Report) -> Loaded:
    """Load a weights file. Raises PspError for one that is none: torch runs no ONNX file."""
    if is_onnx(path):
        raise PspError(
            f"{path}: an ONNX file, which torch does not run. Name the weights that it was "
            "exported from, or another engine: --engine onnxruntime"
        )
    network, header = load_network(path)
    return Loaded(fold(network, precision).to(device), header, precision, network.backbone.map_side)


TORCH = Engine(load, (torch.float32, torch.bfloat16))

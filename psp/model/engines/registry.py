"""What runs a network, by name.

A new engine is a module with an `Engine`, and a line in the table; or, in another package, an entry
point of the group `psp.engines`.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from psp.device import pick_inference_precision, precision_name
from psp.errors import PspError
from psp.model.engines.loaded import Engine
from psp.model.onnx_metadata import is_onnx
from psp.plugins import load_named

ENGINES = {
    "torch": "psp.model.engines.torch:TORCH",
    "onnxruntime": "psp.model.engines.onnxruntime:ONNXRUNTIME",
    "openvino": "psp.model.engines.openvino:OPENVINO",
}
GROUP = "psp.engines"


@dataclass(frozen=True)
class Chosen:
    """The engine for a model, and what it computes in."""

    name: str
    precision: torch.dtype

    @property
    def text(self) -> str:
        """What decides results besides weights and procedure: "bf16", "fp32 onnxruntime"."""
        name = precision_name(self.precision)
        return name if self.name == "torch" else f"{name} {self.name}"


def find_engine(name: str) -> Engine:
    """Return an engine. Raises PspError for an unknown name, with the nearest."""
    found = load_named(ENGINES, GROUP, name, f"--engine {name}")
    if not isinstance(found, Engine):
        raise PspError(
            f"--engine {name}: {found!r} is no psp.model.engines.loaded.Engine. Update or "
            "uninstall the package that it comes from"
        )
    return found


def choose_engine(path: Path, name: str | None, precision: str, device: torch.device) -> Chosen:
    """Return the engine that is asked for, and else the one for this kind of file.

    Of `precision` auto it computes in what torch would, if it can. Raises PspError for an engine
    that is unknown or cannot compute so.
    """
    if name is None:
        name = "onnxruntime" if is_onnx(path) else "torch"
        if name == "onnxruntime" and not find_spec(name) and find_spec("openvino"):
            name = "openvino"
    able = find_engine(name).precisions
    wanted = pick_inference_precision(precision, device)
    if wanted not in able:
        if precision != "auto":
            names = ", ".join(map(precision_name, able))
            raise PspError(f"--precision {precision}: --engine {name} computes in {names} alone.")
        wanted = able[0]
    return Chosen(name, wanted)

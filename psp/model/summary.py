"""What a trained model is: architecture, parameters, cost, classes, preprocessing, provenance."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from psp.model.architecture import Architecture
from psp.model.pspnet import build_shapes
from psp.model.weights import Header, read_header
from psp.settings.size import size_of


@dataclass(frozen=True)
class Summary:
    """A model as its weights file says it is.

    `parameters` without, `aux_parameters` of the auxiliary head, which only training runs. `flops`
    of one window of the crop: a multiplication and an addition count one each.
    """

    path: Path
    which: str  # as the user named it: a run's best weights, a file, published weights
    header: Header
    size: int  # of the file, in bytes
    parameters: int
    aux_parameters: int
    flops: int

    @property
    def details(self) -> dict[str, Any]:
        """The fields in which the architecture is not the paper's."""
        spec = self.header.architecture
        paper = Architecture(classes=spec.classes, backbone=spec.backbone, stem=spec.stem).to_dict()
        return {name: value for name, value in spec.to_dict().items() if value != paper[name]}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        header = self.header
        return {
            "model": str(self.path),
            "weights": self.which,
            "bytes": self.size,
            "architecture": header.architecture.to_dict(),
            "parameters": self.parameters,
            "aux_parameters": self.aux_parameters,
            "flops": self.flops,
            "crop": header.crop,
            "base_size": header.base_size,
            "max_side": header.max_side,
            "classes": list(header.classes),
            "palette": [list(color) for color in header.palette],
            "preprocessing": {"channels": "RGB", **asdict(header.preprocessing)},
            "dataset": header.dataset,
            "data_fingerprint": header.data or None,
            "step": header.step or None,
            "source": header.source or None,
        }


def summarize(path: Path, which: str) -> Summary:
    """Read a weights file's header and count what it describes; no tensor is loaded.

    Raises PspError for a file that is no psp weights, or damaged.
    """
    header = read_header(path)
    network = build_shapes(header.architecture).eval()
    window = torch.empty(1, 3, *size_of(header.crop).shape, device="meta")  # nothing is computed
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(window)
    aux = 0 if network.aux is None else _count(network.aux)
    return Summary(
        path=path,
        which=which,
        header=header,
        size=path.stat().st_size,
        parameters=_count(network) - aux,
        aux_parameters=aux,
        flops=counter.get_total_flops(),
    )


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())

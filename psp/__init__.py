"""psp: the pyramid scene parsing network as a tool.

The command line is `psp` (also `python -m psp`); `psp.cli` holds it. In Python:

    predictor = psp.load("runs/voc2012-resnet50")
    labels = predictor("photo.jpg")          # uint8 (H, W)

Importing the package itself loads nothing heavy.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from psp.version import __version__

if TYPE_CHECKING:
    from psp.predict.predictor import Predictor
    from psp.zoo.published import Report

__all__ = ["__version__", "load"]


def load(
    path: str | Path,
    device: str = "auto",
    precision: str = "auto",
    *,
    compiled: bool = False,
    report: "Report" = lambda event: None,
) -> "Predictor":
    """Load a run's best weights, a weights file, or published weights, as a function of pictures.

    Published weights have a name of `psp models`; at their first use they are fetched and kept,
    and `report` hears of it: `psp.zoo.published.FirstUse` has their terms. `device`: auto, cpu, cuda,
    cuda:N or mps. `precision`: auto, fp32 or bf16. `compiled`: through torch.compile, which the
    first picture waits for. Raises `psp.errors.PspError` when there are none, or they are damaged.
    """
    from psp.predict.predictor import load as work

    return work(path, device, precision, compiled=compiled, report=report)

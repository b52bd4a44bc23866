"""psp: the pyramid scene parsing network (PSPNet) as a tool.

The command line is `psp` (also `python -m psp`), in `psp.cli`. In Python:

    predictor = psp.load("runs/voc2012-resnet50")
    labels = predictor("photo.jpg")          # uint8 (H, W)

Importing the package loads no heavy library.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from psp.version import __version__

if TYPE_CHECKING:
    from psp.events import Report
    from psp.predict.predictor import Predictor

__all__ = ["__version__", "load"]


def load(
    path: str | Path,
    device: str = "auto",
    precision: str = "auto",
    *,
    engine: str | None = None,
    window_batch: int | None = None,
    compiled: bool = False,
    report: "Report" = lambda event: None,
) -> "Predictor":
    """Load a model: a run's best weights, a weights file, published weights by name, or ONNX.

    The names are those of `psp models`; such weights are fetched and kept at their first use, and
    `report` receives what happens, first the terms (`psp.events.Notice` and `Progress`). `device`:
    auto, cpu, cuda, cuda:N or mps. `precision`: auto, fp32 or bf16. `compiled`: use torch.compile,
    which makes the first picture slow. `engine`: torch, onnxruntime or openvino; None: by the kind
    of file. `window_batch`: windows that go through the network at a time. Raises
    `psp.errors.PspError` if there are no such weights, or they are damaged.
    """
    from psp.predict import predictor

    return predictor.load(
        path,
        device,
        precision,
        engine=engine,
        window_batch=window_batch,
        compiled=compiled,
        report=report,
    )

"""An exported graph in 8 bits, quantized by onnxruntime and calibrated with pictures.

Convolutions and what lies between them compute in integers; pooling to the pyramid's bins, the
pyramid's spreading and the classifier keep their numbers, which are few and matter most. The scale
of each activation is that of the largest value seen in calibration, a weight's that of its channel.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

KINDS = ["Conv", "Add", "MaxPool", "Relu"]  # operators that compute in integers


def quantized(model: Any, pictures: Iterable[NDArray[Any]]) -> Any:
    """Return an ONNX model in 8 bits, calibrated with inputs for `images`, each (1, ...)."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.left = iter(pictures)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            picture = next(self.left, None)
            return None if picture is None else {"images": picture}

    classifier = [node.name for node in model.graph.node if node.op_type == "Conv"][-1]
    with tempfile.TemporaryDirectory() as folder, _silent():
        plain, out = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, plain)
        quantize_static(
            plain,
            out,
            Reader(),
            op_types_to_quantize=KINDS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[classifier],
        )
        return onnx.load(out)


@contextmanager
def _silent() -> Iterator[None]:
    """Drop onnxruntime's advice to run another pass before, which finds nothing to do here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

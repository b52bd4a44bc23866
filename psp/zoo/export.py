"""Export of a model to an ONNX file, which is compared with torch before it is written."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from psp.errors import PspError
from psp.files import atomic_write
from psp.model.fold import fold
from psp.model.pspnet import PSPNet, upsample
from psp.model.weights import Header, load_network
from psp.settings.size import Size, parse_pair, size_of

TOLERANCE = 1e-4  # share of the logits' range; float32 rounding gives about 1e-6


@dataclass(frozen=True)
class Exported:
    """An ONNX file that was written."""

    path: Path
    size: Size  # of the pictures that it takes
    difference: float  # from torch's logits, as a share of their range
    header: Header


def export(
    weights: Path,
    out: Path,
    size: Size | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Exported:
    """Write a model for pictures of `size`, the model's crop if None, in any batch size.

    The file takes normalized RGB, float32 (batch, 3, H, W), and gives logits (batch, classes, H,
    W); its metadata have the classes, colors and preprocessing as JSON. It is run by onnxruntime in
    batches of 1 and 2, and written only if the logits agree with torch's. Raises PspError if onnx
    or onnxruntime is not installed, for an impossible size, or if the logits differ.
    """
    try:
        import onnxruntime

        from psp.zoo.onnx_graph import onnx_graph
    except ImportError as error:
        raise PspError(
            f"psp export needs {error.name}, which is not installed: pip install onnx onnxruntime"
        ) from None
    network, header = load_network(weights)
    size = size or size_of(header.crop)
    if not all(9 <= side <= 4097 for side in size):
        raise PspError(f"--size {size}: each side must be from 9 to 4097.")
    report(f"writing the network for pictures of {size}")
    model = onnx_graph(fold(deepcopy(network), torch.float32), size.shape)
    for key, value in _metadata(header).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    data = model.SerializeToString()
    report("comparing it with torch")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    difference = largest_difference(session, network, size.shape)
    if not difference <= TOLERANCE:
        raise PspError(
            f"{out}: not written: onnxruntime's logits differ from torch's by {difference:.1e} of "
            f"their range. Try another version of onnxruntime (this is {onnxruntime.__version__})"
        )
    with atomic_write(out) as temporary:
        temporary.write_bytes(data)
    return Exported(out, size, difference, header)


def parse_size(text: str) -> Size:
    """Return the sides of "473" or "1425x713". Raises PspError for anything else."""
    if text.lower() in ("dynamic", "any", "-1"):
        raise PspError(
            f"--size {text}: the pyramid's grids depend on the size of the picture, so a file for "
            "any size would silently compute another network. Export one file for each size"
        )
    sides = text.lower()
    size = parse_pair(sides if "x" in sides else f"{sides}x{sides}")
    if size is None:
        raise PspError(f"--size {text}: must be one side, such as 473, or WIDTHxHEIGHT.")
    return size


def _metadata(header: Header) -> dict[str, str]:
    values = {
        "classes": list(header.classes),
        "palette": [list(color) for color in header.palette],
        "preprocessing": {"channels": "RGB", **asdict(header.preprocessing)},
    }
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    return {**texts, "psp": header.to_json()}


def largest_difference(session: Any, network: PSPNet, size: tuple[int, int]) -> float:
    """Return the largest difference of the logits of random pictures, relative to their range.

    The pictures' `size` is (H, W).
    `session` is onnxruntime's InferenceSession of the exported network. It gets a batch of two
    pictures, and a batch of one.
    """
    images = np.random.default_rng(0).normal(size=(2, 3, *size)).astype(np.float32)
    with torch.inference_mode():
        logits = network(torch.from_numpy(images)).main
        expected = upsample(logits, size, align_corners=network.spec.align_corners).numpy()
    worst = 0.0
    for batch in (2, 1):
        (logits_onnx,) = session.run(["logits"], {"images": images[:batch]})
        worst = np.maximum(worst, np.abs(logits_onnx - expected[:batch]).max())  # keeps a NaN
    return float(worst / max(np.ptp(expected), 1e-12))

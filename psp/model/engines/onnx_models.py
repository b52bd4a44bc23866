"""Models of any kind in a runtime for ONNX: an ONNX file as it is, weights as graphs of windows."""

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from psp.errors import PspError
from psp.events import Notice, Report
from psp.files import read_bytes
from psp.model.engines.loaded import Loaded
from psp.model.engines.session import Open, Session, SessionNetwork
from psp.model.fold import fold
from psp.model.onnx_form import Form
from psp.model.onnx_metadata import is_onnx
from psp.model.pspnet import Logits
from psp.model.weights import load_network, read_header
from psp.settings.size import size_of

# Largest difference from torch's logits, as a share of their range. Rounding gives 1e-6 and 1e-2.
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 1e-1}
KEPT = 4  # sizes of windows whose graphs are kept: each is as large as the weights


def loader(open_session: Open) -> Callable[[Path, torch.device, torch.dtype, Report], Loaded]:
    """Return how an engine loads models; `open_session` makes an ONNX graph ready to run."""
    return partial(_load, open_session)


def _load(
    open_session: Open, path: Path, device: torch.device, precision: torch.dtype, report: Report
) -> Loaded:
    """Return an ONNX file as it is, or weights as graphs, compared with torch on one window."""
    if is_onnx(path):
        header = read_header(path)
        session = _opened(open_session, read_bytes(path), device, precision, path)
        report(Notice(f"{path}: run by {session.runtime}"))
        network = SessionNetwork(session, header, str(path))
        return Loaded(network, header, map_side=network.map_side, votes=network.votes)
    original, header = load_network(path)
    try:
        from psp.model.onnx_graph import onnx_graph
    except ImportError as error:
        raise PspError(
            f"{path}: to run weights by this engine needs {error.name}, which is not installed: "
            "pip install onnx"
        ) from None
    folded = fold(deepcopy(original), torch.float32)

    def graph(size: tuple[int, int]) -> SessionNetwork:
        data = onnx_graph(folded, size, Form(upsample=False)).SerializeToString()
        return SessionNetwork(
            _opened(open_session, data, device, precision, path), header, str(path)
        )

    graphs = _Graphs(graph)
    size = size_of(header.crop).shape
    window = np.random.default_rng(0).normal(size=(1, 3, *size)).astype(np.float32)
    with torch.inference_mode():
        expected = original(torch.from_numpy(window)).main
        given = graphs(torch.from_numpy(window)).main
    runtime = graphs.of(size).session.runtime
    difference = float((given - expected).abs().max() / (expected.max() - expected.min()))
    if not difference <= TOLERANCES[precision]:  # nor NaN
        raise PspError(
            f"{path}: {runtime} gives other logits than torch: they differ by {difference:.1e} of "
            "their range. Try another version of it, or --engine torch"
        )
    report(Notice(f"{runtime} agrees with torch to {difference:.0e} of the logits' range"))
    return Loaded(graphs, header, map_side=original.backbone.map_side)


class _Graphs:
    """A network's graphs for the sizes of windows that come, each made when it first does."""

    def __init__(self, make: Callable[[tuple[int, int]], SessionNetwork]) -> None:
        self._make, self._lock = make, Lock()
        self._kept: OrderedDict[tuple[int, int], SessionNetwork] = OrderedDict()

    def of(self, size: tuple[int, int]) -> SessionNetwork:
        """Return the graph for windows of a height and width."""
        with self._lock:
            graph = self._kept.pop(size, None) or self._make(size)
            self._kept[size] = graph
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return graph

    def __call__(self, images: Tensor) -> Logits:
        """Map normalized windows, float32 (B, 3, H, W), to logits."""
        height, width = images.shape[2:]
        return self.of((height, width))(images)


def _opened(
    open_session: Open, data: bytes, device: torch.device, precision: torch.dtype, path: Path
) -> Session:
    """Return a graph that is ready to run. Raises PspError where the runtime cannot."""
    try:
        return open_session(data, device, precision)
    except PspError:
        raise
    except Exception as error:  # each runtime raises its own
        reason = str(error).strip().partition("\n")[0]
        raise PspError(f"{path}: cannot be run: {reason}. Try another --engine") from error

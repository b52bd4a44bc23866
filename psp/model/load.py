"""A model from its file, ready to run on pictures by an engine."""

from dataclasses import replace
from pathlib import Path

import torch

from psp.device import compiled as compile_network
from psp.errors import PspError
from psp.events import Report, ignore
from psp.model.engines.registry import find_engine
from psp.model.inference import WINDOW_BATCH, WINDOW_BATCH_ELSEWHERE, SlidingWindow
from psp.model.weights import Header


def load_sliding_window(
    path: Path,
    device: torch.device,
    precision: torch.dtype,
    *,
    engine: str = "torch",
    window_batch: int | None = None,
    compiled: bool = False,
    report: Report = ignore,
) -> tuple[SlidingWindow, Header]:
    """Load a model, a weights or ONNX file, with its header.

    `engine` and `precision` are those of `choose_engine`. `window_batch` None is the device's own.
    `compiled` runs the network through torch.compile: the first window takes a minute, the
    others less time. `report` gets how an engine other than torch agrees with it.
    """
    if window_batch is not None and not 1 <= window_batch <= 1024:
        raise PspError(f"--window-batch {window_batch}: 1 to 1024.")
    if compiled and engine != "torch":
        raise PspError(f"--compile: for --engine torch alone; {engine} compiles by itself.")
    loaded = find_engine(engine).load(path, device, precision, report)
    spec = loaded.header.architecture
    model = SlidingWindow(
        loaded.network,
        spec.classes,
        loaded.header.preprocessing,
        device,
        loaded.takes,
        spec.align_corners,
        window_batch or WINDOW_BATCH.get(device.type, WINDOW_BATCH_ELSEWHERE),
        map_side=loaded.map_side,
        votes=loaded.votes,
    )
    if compiled:
        model = replace(model, network=compile_network(model.network, device), constant=True)
    return model, loaded.header

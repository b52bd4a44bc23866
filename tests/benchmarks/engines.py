"""Engines against the authors' PyTorch code, in one run: python tests/benchmarks/engines.py DIR

DIR is a checkout of hszhao/semseg, whose test procedure runs beside psp's with the same random
weights. One 473x473 window with its mirrored view, 150 classes, from pixels to labels; all run in
turns, and printed are the medians of the turns' ratios. int8 is calibrated with noise: for its
speed, not its labels. Whatever is not installed is left out.
"""

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from infer import authors_procedure, measure, networks, report

from psp.device import pick_inference_precision
from psp.model.load import load_sliding_window
from psp.model.procedure import Procedure
from psp.model.weights import Header, save_weights
from psp.zoo import export as exporting

CPU = torch.device("cpu")


def windows(options, header):
    """Yield noise of the size of windows, coarse and fine."""
    rng = np.random.default_rng(0)
    side = options.crop
    for step in (1, 4, 16, 60):
        coarse = rng.normal(size=(3, -(-side // step), -(-side // step))).astype(np.float32)
        yield np.kron(coarse, np.ones((1, step, step), np.float32))[:, :side, :side]


def models(options, ours, folder):
    """Yield (title, weights or file, engine, precision) of what is compared."""
    weights, int8 = folder / "w.safetensors", folder / "int8.onnx"
    header = Header(
        architecture=ours.spec,
        classes=tuple(map(str, range(options.classes))),
        palette=((0, 0, 0),) * options.classes,
        dataset="noise",
        data="",
        crop=options.crop,
        base_size=None,
        step=0,
    )
    save_weights(weights, ours.state_dict(), header)
    exporting.AGREEMENT = 0  # random weights agree on nothing
    exporting.export(
        weights, int8, upsampled=False, calibration=lambda header: windows(options, header)
    )
    fast = pick_inference_precision("auto", CPU)
    kinds = [torch.float32, *[torch.bfloat16] * (fast == torch.bfloat16)]
    for kind in kinds:
        yield f"torch {str(kind)[6:]}", weights, "torch", kind
    yield "onnxruntime float32", weights, "onnxruntime", torch.float32
    yield "onnxruntime int8", int8, "onnxruntime", torch.float32
    if find_spec("openvino"):
        for kind in kinds:
            yield f"openvino {str(kind)[6:]}", weights, "openvino", kind
        for kind in kinds:
            yield f"openvino int8 ({str(kind)[6:]})", int8, "openvino", kind


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("authors", type=Path, metavar="DIR")
    parser.add_argument("--classes", type=int, default=150)
    parser.add_argument("--crop", type=int, default=473)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    theirs, ours = networks(options)
    window, _ = authors_procedure(options.authors, theirs)
    image = np.random.default_rng(0).integers(0, 256, (options.crop, options.crop, 3), np.uint8)
    procedure = Procedure(options.crop, flip=True)
    calls = {"the authors' code": lambda: window(image).argmax(2)}
    with tempfile.TemporaryDirectory() as folder:
        for title, path, engine, kind in models(options, ours, Path(folder)):
            model, _ = load_sliding_window(path, CPU, kind, engine=engine)
            calls[title] = lambda model=model: model.label_map(image, procedure).numpy()
        report(f"window, {options.threads} threads", measure(calls, options.runs))


if __name__ == "__main__":
    main()

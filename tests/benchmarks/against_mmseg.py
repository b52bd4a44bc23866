"""A whole photo against mmsegmentation's `whole` mode, pixels to labels, in one run.

    python3 -m venv mmseg && mmseg/bin/pip install torch onedl-mmsegmentation==1.4.2 onedl-mmcv
    PYTHONPATH=. mmseg/bin/python tests/benchmarks/against_mmseg.py [--size 683x512] [--pairs 5]

PSPNet-50 of 150 classes with the same weights on both sides. Each pair runs theirs, ours in float32
and ours in bfloat16, one after the other; printed are the medians of the pairs' ratios.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmseg.structures import SegDataSample

from psp.model.inference import sliding_window
from psp.model.procedure import Procedure
from psp.model.pspnet import build
from psp.zoo.importers.mmseg import read_mmseg

CPU = torch.device("cpu")
PRECISIONS = {"psp float32": torch.float32, "psp bfloat16": torch.bfloat16}


def main() -> None:
    """Measure and print."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
    import run_mmseg

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="683x512")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    init_default_scope("mmseg")
    run_mmseg.CLASSES = 150
    run_mmseg.NETWORKS["measured"] = (50, False, 7)
    theirs = run_mmseg.segmentor("measured", "whole", None, None)
    found = read_mmseg(theirs.state_dict())
    network = build(found.architecture).eval()
    network.load_state_dict(found.tensors)
    width, height = map(int, options.size.split("x"))
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    sample = SegDataSample(metainfo={"ori_shape": (height, width), "img_shape": (height, width)})
    bgr = torch.from_numpy(image[:, :, ::-1].transpose(2, 0, 1).copy())

    @torch.no_grad()
    def reference():
        (result,) = theirs.test_step({"inputs": [bgr], "data_samples": [sample]})
        return result.pred_sem_seg.data[0].numpy()

    procedure = Procedure(473, name="mmseg", windows="whole")
    calls = {"mmsegmentation": reference}
    for name, precision in PRECISIONS.items():
        model = sliding_window(network, found.preprocessing, CPU, precision)
        calls[name] = lambda model=model: model.label_map(image, procedure).numpy()
    labels = {name: call() for name, call in calls.items()}  # to warm up
    pairs = []
    for _ in range(options.pairs):
        seconds = {}
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            seconds[name] = time.perf_counter() - begin
        pairs.append(seconds)
    for name in calls:
        ratio = statistics.median(pair["mmsegmentation"] / pair[name] for pair in pairs)
        same = (labels[name] == labels["mmsegmentation"]).mean()
        print(
            f"{name}: {statistics.median(pair[name] for pair in pairs):.2f} s, {ratio:.2f}x, the "
            f"same label in {100 * same:.3f}% of the pixels"
        )


if __name__ == "__main__":
    main()

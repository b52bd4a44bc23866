"""Inference on one device, pixels to labels: python tests/benchmarks/device.py --device cuda

    window   one square window with its mirrored view
    whole    a photo as one window, without mirror
    scales   the photo at the paper's six scales with flip
    refold   the weights of a validation: a training's into those of the last validation

Each in bfloat16 and in exact float32; PSPNet-50 with the paper's stem, 150 classes. --authors DIR,
a checkout of hszhao/semseg, adds their test of the photo at six scales, in the same run.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from infer import authors_procedure, spread

from psp.model.architecture import Architecture
from psp.model.fold import fold, refold
from psp.model.inference import folded_window
from psp.model.preprocessing import IMAGENET
from psp.model.procedure import PAPER_SCALES, Procedure
from psp.model.pspnet import build
from psp.zoo.importers.semseg import read_semseg

PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}


def seconds(call, runs, device):
    """Return the median over some calls, after two that warm up."""
    found = []
    for run in range(runs + 2):
        begin = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if run > 1:
            found.append(time.perf_counter() - begin)
    return statistics.median(found)


def networks(options, device):
    """Return the authors' network, or None, and ours with the same weights, on the device."""
    if options.authors is None:
        network = build(Architecture(classes=150, backbone=options.backbone, stem="deep"))
        spread(network, network.head.classifier)
        return None, network.to(device)
    import sys

    sys.path.insert(0, str(options.authors))
    from model.pspnet import PSPNet as Theirs

    theirs = Theirs(layers=50, classes=150, pretrained=False).eval()
    spread(theirs, theirs.cls[4])
    found = read_semseg(theirs.state_dict())
    network = build(found.architecture)
    network.load_state_dict(found.tensors)
    return theirs.to(device), network.to(device)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--crop", type=int, default=473)
    parser.add_argument("--size", default="683x512")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--authors", type=Path, metavar="DIR")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.manual_seed(0)
    theirs, network = networks(options, device)
    rng = np.random.default_rng(0)
    width, height = map(int, options.size.split("x"))
    photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    square = rng.integers(0, 256, (options.crop, options.crop, 3), dtype=np.uint8)
    scales = Procedure(options.crop, max(width, height), PAPER_SCALES, flip=True)
    took = {}
    for name, precision in PRECISIONS.items():
        folded = fold(build(network.spec).to(device), precision)
        took["refold"] = seconds(lambda f=folded: refold(f, network), options.runs, device)
        model = folded_window(folded, IMAGENET, device, precision)
        for title, image, procedure in (
            ("window", square, Procedure(options.crop, flip=True)),
            ("whole", photo, Procedure(options.crop, windows="whole")),
            ("scales", photo, scales),
        ):
            took[title] = seconds(
                lambda i=image, p=procedure, m=model: m.label_map(i, p), options.runs, device
            )
        for title, value in took.items():
            print(f"{name} · {title}: {1000 * value:.1f} ms", flush=True)
    if theirs is not None:
        with torch.inference_mode():
            whole = authors_procedure(options.authors, theirs, device)[1]
            value = seconds(lambda: whole(photo, scales, 150), 1, device)
        print(
            f"authors, fp32 · scales: {1000 * value:.1f} ms, {value / took['scales']:.1f} of psp's"
        )


if __name__ == "__main__":
    main()

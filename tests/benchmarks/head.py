"""The factored pyramid head against the plain one, in one run: python tests/benchmarks/head.py

Prints the median seconds of each over alternating runs, their ratio, and the largest difference of
the logits relative to their range. Whole network: ResNet-50, 150 classes, one 473x473 picture.
"""

import argparse
import statistics
import time

import torch

from psp.model.architecture import Architecture
from psp.model.pspnet import build


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=473)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    torch.manual_seed(0)
    spec = Architecture(classes=150, backbone=options.backbone, stem="deep")
    network = build(spec).eval().to(memory_format=torch.channels_last)
    images = torch.randn(1, 3, options.size, options.size)
    images = images.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        _, deep = network.backbone(images)
        for title, call in (
            ("head alone", lambda: network.head(deep)),
            ("whole network", lambda: network(images).main),
        ):
            seconds = {True: [], False: []}
            logits = {}
            for run in range(options.runs + 1):
                for plain in (True, False):
                    network.use_plain_head(plain)
                    begin = time.perf_counter()
                    logits[plain] = call()
                    if run:  # the first warms up
                        seconds[plain].append(time.perf_counter() - begin)
            plain, factored = (statistics.median(seconds[key]) for key in (True, False))
            error = (logits[True] - logits[False]).abs().max() / (
                logits[True].max() - logits[True].min()
            )
            print(
                f"{title}: plain {plain:.3f} s, factored {factored:.3f} s, "
                f"ratio {plain / factored:.2f}, difference {error:.1e} of the range"
            )


if __name__ == "__main__":
    main()

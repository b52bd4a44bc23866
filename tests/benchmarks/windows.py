"""A picture as one window against the authors' square windows: time, in pairs; peak memory (Linux).

    python tests/benchmarks/windows.py [--backbone resnet50] [--size 683x512] [--pairs 5]

Each pair runs both ways one after the other, in changing order, so that a busy machine slows both.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from psp.model.architecture import Architecture
from psp.model.inference import sliding_window
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import Procedure
from psp.model.pspnet import build

WAYS = {"square": Procedure(473), "whole": Procedure(473, windows="whole")}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--size", default="683x512")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--memory", choices=WAYS)
    options = parser.parse_args()
    torch.manual_seed(0)
    network = build(Architecture(classes=150, backbone=options.backbone, stem="deep"))
    model = sliding_window(network, Preprocessing(), torch.device("cpu"), torch.float32)
    width, height = map(int, options.size.split("x"))
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)

    def seconds(way):
        begin = time.perf_counter()
        model.label_map(image, WAYS[way])
        return time.perf_counter() - begin

    if options.memory:
        before = resident("VmRSS", reset=True)
        seconds(options.memory)
        print(resident("VmHWM") - before)
        return
    seconds("whole")  # to warm up
    pairs = []
    for number in range(options.pairs):
        order = sorted(WAYS, reverse=bool(number % 2))
        pairs.append({way: seconds(way) for way in order})
    for way in WAYS:
        command = [sys.executable, __file__, *sys.argv[1:], "--memory", way]
        memory = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        middle = statistics.median(pair[way] for pair in pairs)
        print(f"{way}: {middle:.2f} s, {memory:.0f} MB more than the loaded network")
    ratio = statistics.median(pair["square"] / pair["whole"] for pair in pairs)
    print(f"square takes {ratio:.2f} times as long as whole, the median of {len(pairs)} pairs")


def resident(line, *, reset=False):
    """Return a line of /proc/self/status in MB: VmRSS is memory now, VmHWM the most so far.

    With `reset`, the most is counted from now on.
    """
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{line}:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()

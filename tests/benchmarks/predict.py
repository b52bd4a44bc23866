"""psp predict from its start to its results: python tests/benchmarks/predict.py

    start    one photo, each time a new process, in turns with another checkout (--before DIR): the
             median time to its end, and to the same end of a process that only imports torch
    folder   photos to label PNGs on disk: pictures a second, and for which share of the time the
             network runs; then the network alone, and all but the network

The weights are random, which changes no time. Set OMP_NUM_THREADS to the number of cores.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from psp.images.encoding import encode_jpeg
from psp.model.architecture import Architecture
from psp.model.choice import Choice
from psp.model.pspnet import build
from psp.model.weights import Header, save_weights
from psp.predict import pipeline
from psp.predict.inputs import find_pictures
from psp.predict.writers.registry import find_writers

HERE = Path(__file__).parents[2]


def make_weights(path, backbone, crop, classes=150):
    """Write random weights, for pictures with a long side of 512."""
    spec = Architecture(backbone=backbone, classes=classes)
    names = tuple(f"class {index}" for index in range(classes))
    colors = tuple((index, 37 * index % 256, 91 * index % 256) for index in range(classes))
    header = Header(spec, names, colors, "random", "0" * 16, crop, 512, 1)
    save_weights(path, build(spec).state_dict(), header)


def make_photos(folder, count):
    """Write smooth photos of 683x512, about as large as real ones."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        fields = rng.integers(0, 255, (40, 54, 3), np.uint8)
        image = cv2.resize(fields, (683, 512), interpolation=cv2.INTER_CUBIC)
        (folder / f"{number:04}.jpg").write_bytes(encode_jpeg(image))


def start(root, weights, trees, repeats):
    """Print the median seconds of a process that predicts one photo, for each checkout."""
    seconds = {name: [] for name in [*trees, "import torch"]}
    for turn in range(repeats + 1):  # the first is not counted: it fills the page cache
        for name in seconds:
            command = [sys.executable, "-c", "import torch"]
            if name in trees:
                out = root / f"one-{name}-{turn}"
                photo = root / "photos/0000.jpg"
                command = [sys.executable, "-m", "psp", "predict", photo, "-m", weights, "-o", out]
                command += ["--write", "labels", "--no-gallery", "-q"]
            begin = time.perf_counter()
            environment = {**os.environ, "PYTHONPATH": str(trees.get(name, ""))}
            run = {"check": True, "stdout": subprocess.DEVNULL, "env": environment}
            subprocess.run(command, cwd=root, **run)  # not in a checkout: -m looks there first
            if turn:
                seconds[name].append(time.perf_counter() - begin)
    for name, values in seconds.items():
        print(
            f"start   {weights.stem:10} {name:14}{statistics.median(values):7.2f} s "
            f"({min(values):.2f} to {max(values):.2f})"
        )


def folder(root, weights):
    """Print how fast a folder is predicted, and how much of the time the network runs."""
    load, busy = pipeline.load_network, []

    def loaded(*arguments):
        network = load(*arguments)
        network(pipeline.Picture("x", Path(), image=np.zeros((512, 683, 3), np.uint8)))  # warm

        def timed(item):
            begin = time.perf_counter()
            network(item)
            busy.append((begin, time.perf_counter()))

        return timed

    pipeline.load_network = loaded
    pictures = find_pictures([root / "photos"])
    request = pipeline.PredictRequest(
        pictures=pictures,
        weights=weights,
        out=root / f"folder-{weights.stem}",
        writers=find_writers(["labels"]),
        procedure=Choice(predicting=True),
        device=torch.device("cpu"),
    )
    pipeline.predict(request)
    pipeline.load_network = load
    end = time.perf_counter()
    running, whole = sum(stop - begin for begin, stop in busy), end - busy[0][0]
    print(
        f"folder  {weights.stem:10} {len(busy) / whole:6.2f} pictures/s to label PNGs, the network "
        f"runs {running / whole:.1%} of the time"
    )
    items = [
        pipeline.Picture("x", path, image=np.zeros((512, 683, 3), np.uint8))
        for path in pictures.values()
    ]
    network = load(request, request.procedure(pipeline.read_header(weights)))
    network(items[0])
    begin = time.perf_counter()
    for item in items:
        network(item)
    alone = len(items) / (time.perf_counter() - begin)
    print(f"folder  {weights.stem:10} {alone:6.2f} pictures/s by the network alone")
    files(request, items[0].labels)


def files(request, labels):
    """Print how fast photos are decoded, and labels encoded and written, without a network."""

    def network(item):
        item.labels = labels

    load, pipeline.load_network = pipeline.load_network, lambda *arguments: network
    begin = time.perf_counter()
    pipeline.predict(replace(request, overwrite=True))
    pipeline.load_network = load
    rate = len(request.pictures) / (time.perf_counter() - begin)
    print(f"folder  {'':10} {rate:6.2f} pictures/s by all but the network")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="another checkout of psp")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--photos", type=int, default=12)
    options = parser.parse_args()
    trees = {"now": HERE}
    if options.before:
        trees = {"before": options.before.resolve(), **trees}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_photos(root / "photos", options.photos)
        for backbone, crop in (("resnet18", 105), ("resnet50", 473)):
            weights = root / f"{backbone}.safetensors"
            make_weights(weights, backbone, crop)
            if options.repeats:
                start(root, weights, trees, options.repeats)
            folder(root, weights)


if __name__ == "__main__":
    main()

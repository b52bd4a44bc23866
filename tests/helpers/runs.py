"""Folders of runs without a training: the files that say how far a run is."""

import json
import struct

from psp.runs import Run


def make_run(folder, settings=None, **fields):
    """A run of which there is only config.json."""
    folder.mkdir(parents=True)
    config = {"settings": settings or {}, "data": "shards", "data_fingerprint": "0", **fields}
    (folder / "config.json").write_text(json.dumps(config))
    return Run(folder)


def weights_of(step):
    """The start of a weights file of that step: nothing but its header."""
    header = json.dumps({"__metadata__": {"psp": json.dumps({"step": step})}}).encode()
    return struct.pack("<Q", len(header)) + header


def train_to(run, step, miou=0.5):
    """Add what a training leaves at a validation."""
    for which in ("best", "last"):
        run.weights(which).write_bytes(weights_of(step))
    record = {"event": "validation", "step": step, "miou": miou}
    with run.metrics.open("a") as file:
        file.write(json.dumps(record) + "\n")
    return run

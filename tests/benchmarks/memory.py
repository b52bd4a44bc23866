"""Whether memory, open files and shared memory stay flat over a long training and prediction:

    python tests/benchmarks/memory.py --minutes 30
    python tests/benchmarks/memory.py --minutes 2 --what predict

A ResNet-18 is trained on painted scenes, with a loading process, validations and checkpoints; then
a folder of pictures is predicted. Once every few seconds the resident memory, the open files and
the shared memory (what loaders pass through /dev/shm) of all its processes are summed up. Flat: the
last quarter's median of the memory is at most 5% above that of the second quarter, and the second
half has no new maximum of open files, or one of shared memory by more than a batch.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from psp.data.scenes import SceneSpec, paint_set

SAMPLE_SECONDS = 5
PHOTOS = 20_000  # links to a few pictures: more than there is time for


def processes(root):
    """Return a process and all that descend from it."""
    try:
        children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    except OSError:
        return []
    return [root, *(pid for child in children for pid in processes(int(child)))]


def sample(root):
    """Return resident MB, open files and shared MB of a process and its descendants."""
    resident = handles = shared = 0
    for pid in processes(root):
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            status = Path(f"/proc/{pid}/status").read_text()
            shared += int(status.split("RssShmem:")[1].split()[0]) << 10
            handles += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        except OSError:  # it has just ended
            continue
        resident += pages * os.sysconf("SC_PAGE_SIZE")
    return resident / 1e6, handles, shared / 1e6


def watch(call, minutes, folder):
    """Run a command for some minutes, stop it, and return the samples."""
    log = (folder / "log").open("wb")
    running = subprocess.Popen(call, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    samples, end = [], time.monotonic() + 60 * minutes
    while time.monotonic() < end and running.poll() is None:
        time.sleep(SAMPLE_SECONDS)
        samples.append(sample(running.pid))
    if running.poll() is not None:
        raise SystemExit((folder / "log").read_text())
    running.send_signal(signal.SIGTERM)  # SIGINT is ignored where this runs in the background
    running.wait(120)
    return samples


def verdict(name, samples):
    """Print the figures of a command, and return whether they are flat."""
    quarter = len(samples) // 4
    flat = True
    for column, what in enumerate(("resident MB", "open files", "shared MB")):
        values = [row[column] for row in samples]
        second, last = values[quarter : 2 * quarter], values[-quarter:]
        early, late = statistics.median(second), statistics.median(last)
        if what == "resident MB":
            good = late <= 1.05 * early
        else:
            good = max(values[len(values) // 2 :]) <= max(values[: len(values) // 2]) + 1
        flat = flat and good
        print(
            f"{name}: {what}: median of the second quarter {early:.0f}, of the last {late:.0f}, "
            f"most {max(values):.0f}: {'flat' if good else 'NOT FLAT'}"
        )
    return flat


def main():
    """Train and predict, and say whether both are flat."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--what", nargs="+", default=["train", "predict"])
    given = parser.parse_args()
    psp, flat = [sys.executable, "-m", "psp"], True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for _ in paint_set(folder / "raw", {"train": 60, "val": 20}, spec=SceneSpec(96, 128)):
            pass
        (folder / "scenes.toml").write_text(CARD)
        subprocess.run(
            [*psp, "prepare", "scenes.toml", "raw", "-o", "data"], cwd=folder, check=True
        )
        train = [*psp, "train", "data", "-o", "run", "--backbone", "resnet18", "--init", "none"]
        train += ["--crop", "89", "--batch", "4", "--workers", "1"]
        rhythm = ["--set", "eval_every=50", "--set", "save_every=50", "--set", "log_every=50"]
        if "train" in given.what:
            samples = watch([*train, "--steps", "1000000", *rhythm], given.minutes, folder)
            last = (folder / "run/metrics.jsonl").read_text().splitlines()[-1]
            print(f"train: {given.minutes:g} minutes, {last[:60]}")
            flat = verdict("train", samples) and flat
        if "predict" in given.what:
            short = [*train, "--steps", "20", "-q"]
            short[short.index("run")] = "short"
            subprocess.run(short, cwd=folder, check=True)
            for _ in paint_set(folder / "photos", {"a": 8}, spec=SceneSpec(360, 480)):
                pass
            pictures = sorted((folder / "photos/images/a").iterdir())
            (folder / "many").mkdir()
            for number in range(PHOTOS):
                os.link(pictures[number % 8], folder / f"many/{number:05d}.png")
            call = [*psp, "predict", "many", "-m", "short", "-o", "out", "--write", "labels"]
            samples = watch(call, given.minutes, folder)
            done = len((folder / "out/predictions.jsonl").read_text().splitlines())
            print(f"predict: {given.minutes:g} minutes, {done} pictures")
            flat = verdict("predict", samples) and flat
    return 0 if flat else 1


CARD = """
name = "scenes"
title = "Painted scenes"
layout = "folders"
classes = [
{classes}
]
ignore_from = [255]
[splits]
train = {{}}
val = {{}}
[folders]
images = "images/{{split}}"
masks = "labels/{{split}}"
""".format(
    classes="\n".join(
        f'  {{ name = "class {k}", color = "#{30 + 20 * k:02x}8040", from = [{k}] }},'
        for k in range(9)
    )
)

if __name__ == "__main__":
    sys.exit(main())

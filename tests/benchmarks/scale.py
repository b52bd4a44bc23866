"""Time and memory of large sets of tiny pictures: python tests/benchmarks/scale.py 10000 100000

For each number of pictures a set is made of links to a few files, and every command runs in a
process of its own: printed are its time, the time a picture, and its peak memory. The network of
`predict` is left out, so that what is measured is everything else.

--shards N does for N pictures what needs no files: shards of tiny pictures are written directly,
opened, ordered for training, and a training is begun and resumed; `prepare` plans N pairs.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 8
LINKS = 30_000  # to one file; file systems have a limit
FOLDERS = 1000  # pictures in one
IN_SHARD = 2500  # pictures, as of 100 KB each
CARD = """name = "tiny"
layout = "folders"
classes = [{ name = "a", from = [0] }, { name = "b", from = [1] }]
[folders]
images = "images/{split}"
masks = "masks/{split}"
[splits]
train = {}
val = {}
"""


def make_files(root, count):
    """Make a tenth of the pictures the split val, the others train."""
    rng = np.random.default_rng(0)
    sources = {}
    for number in range(count):
        split = "val" if number % 10 == 0 else "train"
        for kind in ("images", "masks"):
            if number % LINKS == 0:
                source = root / f"{kind}-{number}.png"
                shape = (SIDE, SIDE, 3) if kind == "images" else (SIDE, SIDE)
                Image.fromarray(rng.integers(0, 2, shape, np.uint8)).save(source)
                sources[kind] = source
            folder = root / kind / split / f"{number // FOLDERS:04}"
            if number % FOLDERS < 10:
                folder.mkdir(parents=True, exist_ok=True)
            os.link(sources[kind], folder / f"{number:07}.png")
    (root / "tiny.toml").write_text(CARD)


def measured(title, count, *command, until=None):
    """Run a command in a process of its own; print its time and its peak memory.

    It is interrupted once there is a file of the pattern `until`.
    """
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, command)], stdout=sys.stderr)
    while until and not list(until.parent.glob(until.name)):
        time.sleep(0.05)
        assert process.poll() is None, title
    if until:
        process.send_signal(signal.SIGINT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in (0, 130 if until else 0), (title, process.returncode)
    each, memory = seconds / count * 1e6, usage.ru_maxrss / 1024
    print(f"{count:>9,}  {title:<28}{seconds:8.1f} s {each:9.0f} us {memory:8.0f} MB", flush=True)


def here(name, *arguments):
    """Return the command that runs a function of this file."""
    return (__file__, "--only", name, *arguments)


def predict_part(root):
    """Everything of psp predict but the network, for one of two parts, in a tar; then again."""
    import torch

    from psp.model.architecture import Architecture
    from psp.model.choice import Choice
    from psp.model.pspnet import build
    from psp.model.weights import Header, save_weights
    from psp.predict import pipeline
    from psp.predict.inputs import find_pictures
    from psp.predict.writers.registry import find_writers
    from psp.ranks import Share

    weights = root / "weights.safetensors"
    if not weights.exists():
        spec = Architecture(backbone="resnet18", classes=2)
        about = Header(spec, ("a", "b"), ((0, 0, 0), (9, 9, 9)), "tiny", "0" * 16, 57, None, 1)
        save_weights(weights, build(spec).state_dict(), about)

    def network(item):
        item.labels = np.zeros(item.image.shape[:2], np.uint8)

    pipeline.load_network = lambda *arguments: network
    request = pipeline.PredictRequest(
        pictures=find_pictures([root / "images"]),
        weights=weights,
        out=root / "predicted",
        writers=find_writers(["labels"]),
        pack=True,
        share=Share(1, 2),
        procedure=Choice(predicting=True),
        device=torch.device("cpu"),
    )
    pipeline.predict(request)


def make_shards(folder, number):
    """Write shards of tiny pictures that differ in their names: `count` in train, 16 in val."""
    from psp.data.cardfile import find_card
    from psp.data.label_codec import encode_ids
    from psp.data.manifest import FORMAT, MANIFEST, VERSION
    from psp.data.shard_writer import ENCODED, write_shard
    from psp.data.staging import Sample, stage
    from psp.files import write_json
    from psp.images.encoding import encode_png

    count = int(str(number))
    card = find_card("ade20k")
    image = encode_png(np.zeros((SIDE, SIDE, 3), np.uint8))
    pixels = np.zeros(len(card.classes) + 1, np.int64)
    pixels[0] = SIDE * SIDE
    label = encode_ids(np.zeros((SIDE, SIDE), np.uint8))
    one = stage(folder, "train-00000", Sample("", image, label, (SIDE, SIDE), pixels))
    splits = {}
    for split, images in (("train", count), ("val", 16)):
        entries = []
        for start in range(0, images, IN_SHARD):
            names = range(start, min(start + IN_SHARD, images))
            samples = [one._replace(name=f"{split}/{number:08}") for number in names]
            path = folder / f"{split}-{len(entries):05}.h5"
            entries.append(write_shard(path, split, card, samples))
        splits[split] = {"images": images, "labels": True, "skipped": [], "shards": entries}
    manifest = {"format": FORMAT, "version": VERSION, "dataset": card.name, "source": ""}
    manifest |= {"card": json.loads(card.to_json()), "conversion": ENCODED, "splits": splits}
    write_json(folder / MANIFEST, manifest)
    (folder / one.file).unlink()


def open_set(folder):
    """Open a split and look up where the first samples of a training are."""
    from psp.data.loader import Crops
    from psp.data.shards import ShardSplit
    from psp.settings.augmentation import Augmentation

    begin = time.perf_counter()
    split = ShardSplit(folder, "train")
    opened = time.perf_counter() - begin
    begin = time.perf_counter()
    Crops(split, Augmentation(crop=57), 0).index(0)
    order = time.perf_counter() - begin
    print(
        f"{len(split):,} pictures: {opened:.2f} s to open, {order:.2f} s for the order of an epoch"
    )


def plan_names(folder, number):
    """Plan the conversion of so many pairs; no file is looked at."""
    from psp.data.cardfile import read_card
    from psp.prepare import plan
    from psp.prepare.conversion import Conversion
    from psp.prepare.layouts.layout import Layout, Pair, Source, SplitPairs

    count = int(str(number))

    def pairs(source, root, split):
        numbers = range(0, count, 10) if split.name == "val" else range(count)
        found = [Pair(f"{n:08}", root / f"i/{n:08}.jpg", root / f"m/{n:08}.png") for n in numbers]
        return SplitPairs(found)

    plan.find_layout = lambda card: Layout("tiny", lambda raw: raw, pairs)
    plan._status = lambda path: (100_000, 10**18)
    made = plan.make_plan(
        Source(folder, read_card(folder / "tiny.toml")), Conversion(), 1 << 28, True
    )
    print(len(list(made.shards())), made.source, made.newest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", nargs="*", type=int)
    parser.add_argument("--shards", type=int, metavar="N")
    parser.add_argument("--only", nargs="+")
    options = parser.parse_args()
    if options.only:
        name, *arguments = options.only
        globals()[name](*map(Path, arguments))
        return
    print(f"{'pictures':>9}  {'what':<28}{'time':>10} {'each':>12} {'peak':>11}")
    for count in options.counts:
        root = Path(tempfile.mkdtemp(prefix="psp-scale-"))
        try:
            make_files(root, count)
            shards = root / "shards"
            prepare = ("-m", "psp", "prepare", root / "tiny.toml", root, "-o", shards, "-q")
            measured("prepare", count, *prepare, "--workers", 2, "--shard-mb", 2)
            measured("verify", count, "-m", "psp", "verify", shards, "-q", "--workers", 2)
            measured("open", count, *here("open_set", shards))
            measured("predict --part 1/2 --pack", count // 2, *here("predict_part", root))
            measured("the same again", count // 2, *here("predict_part", root))
        finally:
            shutil.rmtree(root)
    if options.shards:
        with tempfile.TemporaryDirectory(prefix="psp-scale-") as name:
            without_files(Path(name), options.shards)


def without_files(root, count):
    """Measure what needs no files of pictures."""
    (root / "tiny.toml").write_text(CARD)
    (root / "shards").mkdir()
    measured("(writing shards)", count, *here("make_shards", root / "shards", count))
    measured("open, order of an epoch", count, *here("open_set", root / "shards"))
    train = ("-m", "psp", "train", root / "shards", "-o", root / "run", "--device", "cpu", "-q")
    recipe = ("--backbone", "resnet18", "--crop", 57, "--batch", 2, "--init", "none")
    settings = ("--set", "pictures=false", "--set", "save_every=1", "--workers", 2, "--steps", 4)
    first = root / "run/checkpoints/*1.pt"
    measured("training, to a checkpoint", count, *train, *recipe, *settings, until=first)
    measured("resumed, 4 steps in all", count, *train, "--resume")
    measured("plan of prepare", count, *here("plan_names", root, count))
    measured("verify", count, "-m", "psp", "verify", root / "shards", "-q", "--workers", 2)


if __name__ == "__main__":
    main()

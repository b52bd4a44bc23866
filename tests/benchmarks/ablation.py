"""The paper's ladder where only far surroundings decide: python tests/benchmarks/ablation.py

Trains ResNet-18 networks from nothing on painted strips: dilated FCN, with the auxiliary loss, with
a pyramid of one bin, with the paper's four (average and max). In every strip a featureless mist
lies around the object, so that nothing within `--distance` pixels tells a boat from a car or a
building from a cabinet. A network without a pyramid sees at most 240 pixels to either side.

Prints a Markdown table: mean and spread over seeds of the mIoU, and of the four classes that only
the surroundings tell apart. `--ladder backbones` compares backbones under the paper's pyramid; with
`--distance 0` it does so on scenes without mist, whose objects are large. Each finished run is a
line in `--out`; a run that stands there is not repeated, so the benchmark can be stopped and
started again.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from psp.data.cardfile import find_card
from psp.data.scenes import (
    BOAT,
    BUILDING,
    CABINET,
    CAR,
    SceneSpec,
    paint,
)
from psp.device import autocast
from psp.evaluate.count import count
from psp.evaluate.metrics import iou, miou
from psp.model.architecture import Architecture
from psp.model.preprocessing import IMAGENET
from psp.model.pspnet import build, upsample
from psp.settings.loss import LossSettings
from psp.settings.optimizer import OptimizerSettings
from psp.train.loss import Criterion
from psp.train.optim import parameter_groups, poly

LADDERS = {
    "paper": {
        "dilated FCN": {"bins": (), "aux": False},
        "+ auxiliary loss": {"bins": ()},
        "+ pyramid, bin 1": {"bins": (1,)},
        "+ pyramid, bins 1, 2, 3, 6": {},
        "the same, max": {"pooling": "max"},
    },
    "backbones": {
        "ResNet-18": {},
        "ConvNeXt-Tiny": {"backbone": "convnext_tiny"},
    },
}
HARD = (BOAT, CAR, BUILDING, CABINET)
CARD = find_card("scenes")


def draw(spec: SceneSpec, seeds: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Paint a scene per seed: images uint8 (n, H, W, 3), labels uint8 (n, H, W)."""
    pairs = [paint(spec, np.random.default_rng(seed)) for seed in seeds]
    images, labels = zip(*pairs, strict=True)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels))


def run(choice: dict, seed: int, options: argparse.Namespace) -> dict:
    """Train and score one network; no scene comes twice, and none of the test's in training."""
    object_size = (0.05, 0.08) if options.distance else (0.4, 0.6)
    spec = SceneSpec(options.height, options.width, options.distance, object_size)
    torch.manual_seed(seed)
    network = build(Architecture(classes=9, **{"backbone": "resnet18", "stem": "7x7", **choice}))
    network = network.to(memory_format=torch.channels_last)
    settings = OptimizerSettings(head_lr=1, bias_lr=2, weight_decay=1e-4, norm_decay=False)
    groups = parameter_groups(network, settings, pretrained="none")
    optimizer = torch.optim.SGD(groups, lr=options.lr, momentum=0.9)
    precision = torch.bfloat16 if options.bf16 else torch.float32
    device = torch.device("cpu")
    begin = time.perf_counter()
    criterion = Criterion(LossSettings(), align_corners=True)
    recent = []
    for step in range(options.steps):
        numbers = range(step * options.batch, (step + 1) * options.batch)
        images, labels = draw(spec, [[1, seed, number] for number in numbers])
        warm = min(1.0, (step + 1) / 20)
        for group in optimizer.param_groups:
            group["lr"] = options.lr * group["factor"] * warm * poly(step, options.steps, 0.9)
        with autocast(device, precision):
            logits = network(IMAGENET(images))
        loss = criterion(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        optimizer.step()
        recent.append(loss.terms["main"].item())
        if (step + 1) % 50 == 0:
            print(f"  step {step + 1}: loss {statistics.fmean(recent[-50:]):.3f}", flush=True)
    scores = test(network.eval(), spec, options.test)
    return {"seconds": round(time.perf_counter() - begin), **scores}


@torch.inference_mode()
def test(network: torch.nn.Module, spec: SceneSpec, scenes: int) -> dict:
    """Return the mIoU over all classes, over the hard ones, and theirs one by one."""
    confusion = np.zeros((9, 9), np.int64)
    for number in range(scenes):
        images, labels = draw(spec, [[2, number]])
        logits = upsample(network(IMAGENET(images)).main, (spec.height, spec.width))
        confusion += count(labels[0], logits[0].argmax(0).to(torch.uint8), 9).numpy()
    hard = {CARD.names[k]: float(iou(confusion)[k]) for k in HARD}
    return {"miou": miou(confusion), "hard": statistics.fmean(hard.values()), "classes": hard}


def table(records: list[dict]) -> str:
    """Return the Markdown table of all finished runs."""
    lines = [
        "| network | seeds | mIoU | the four hard classes | boat | car | building | cabinet |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(record["network"] for record in records):
        found = [record for record in records if record["network"] == name]
        if found:
            cells = [_spread([r["miou"] for r in found]), _spread([r["hard"] for r in found])]
            for kind in HARD:
                values = [r["classes"][CARD.names[kind]] for r in found]
                cells.append(f"{100 * statistics.fmean(values):.1f}")
            lines.append(f"| {name} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):.1f} ± {100 * spread:.1f}"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ladder", choices=LADDERS, default="paper")
    parser.add_argument("--height", type=int, default=41)
    parser.add_argument("--width", type=int, default=665)
    parser.add_argument("--distance", type=int, default=256)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--test", type=int, default=100, help="test scenes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="one network of the ladder")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("ablation.jsonl"))
    options = parser.parse_args()
    keys = ("height", "width", "distance", "steps", "batch", "lr", "bf16", "test")
    setup = {key: getattr(options, key) for key in keys}
    records = []
    if options.out.exists():
        lines = map(json.loads, options.out.read_text().splitlines())
        names = LADDERS[options.ladder]
        records = [r for r in lines if r["setup"] == setup and r["network"] in names]
    done = {(record["network"], record["seed"]) for record in records}
    for seed in range(options.seeds):
        for name, choice in LADDERS[options.ladder].items():
            if (name, seed) in done or (options.only and name != options.only):
                continue
            print(f"{name}, seed {seed}", flush=True)
            record = {"network": name, "seed": seed, "setup": setup, **run(choice, seed, options)}
            records.append(record)
            with options.out.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(f"  mIoU {100 * record['miou']:.1f}, {record['seconds']} s", flush=True)
    print(table(records))


if __name__ == "__main__":
    main()

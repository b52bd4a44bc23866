"""Training on one device, as a user runs it: python tests/benchmarks/throughput.py --device cuda

    train     images a second of psp.train itself: real shards, real loading, PSPNet-50 at crop
              473 with the paper's stem, batch 16, 150 classes; peak memory; again with --compile
    loader    crops a second of the same loader alone, with the same workers
    profile   where the device's time goes in ten steps, by operation
    authors   (--authors DIR, a checkout of hszhao/semseg) the same by their network, their
              transforms and what their loop does in a step, in float32 as they train

All in one run, on drawn pictures of 512x683.
"""

import argparse
import collections
import collections.abc
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from drawn import draw
from torch.profiler import ProfilerActivity, profile

from psp.data.cardfile import find_card
from psp.data.loader import Crops, batches
from psp.data.shards import ShardSplit
from psp.events import Progress
from psp.prepare.conversion import Conversion
from psp.prepare.pipeline import prepare
from psp.runs import Run
from psp.settings.config import TrainConfig, train_config
from psp.train.loop import train
from psp.train.run_log import STEPS, Event, Step

PROFILED = range(10, 20)  # steps


def measure(options: argparse.Namespace, config: TrainConfig, folder: Path, what: str) -> None:
    """Train, and print the median speed of what was logged after the first third."""
    device = torch.device(options.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    speeds: list[float] = []

    def report(event: Event) -> None:
        if isinstance(event, Step) and event.step > config.optimizer.steps // 3:
            speeds.append(event.images_per_second)

    train(folder / "shards", Run(folder / what), config, device=device, report=report)
    text = f"{what}: {statistics.median(speeds):.1f} images/s"
    if device.type == "cuda":
        text += f", peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
    print(text, flush=True)


def measure_loader(options: argparse.Namespace, config: TrainConfig, folder: Path) -> None:
    """Print the crops a second that the workers of a training deliver to nobody who is slow."""
    crops = Crops(ShardSplit(folder / "shards", "train"), config.augmentation, 0)
    pin = options.device.startswith("cuda")
    steps = range(2 * config.optimizer.steps)
    found = batches(crops, config.optimizer.batch, steps, config.run.workers or 0, pin=pin)
    for _ in range(len(steps) // 2):
        next(found)
    begin = time.perf_counter()
    count = sum(1 for _ in found) * config.optimizer.batch
    speed = count / (time.perf_counter() - begin)
    print(f"loader: {speed:.0f} crops/s with {config.run.workers} workers", flush=True)


def measure_profile(options: argparse.Namespace, config: TrainConfig, folder: Path) -> None:
    """Print the operations that take the most of the device's time in some steps."""
    cuda = options.device.startswith("cuda")
    watch = profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])])
    times: list[float] = []

    def report(event: Event) -> None:
        done = event.done if isinstance(event, Progress) and event.unit == STEPS else None
        if done in (PROFILED.start, PROFILED.stop):
            if cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter())
            (watch.start if done == PROFILED.start else watch.stop)()

    steps = PROFILED.stop + 1
    quiet = config.changed(steps=steps, log_every=steps, eval_every=steps, save_every=steps)
    train(
        folder / "shards",
        Run(folder / "profile"),
        quiet,
        device=torch.device(options.device),
        report=report,
    )
    events = watch.key_averages()
    kind = "self_device_time_total" if cuda else "self_cpu_time_total"
    busy = sum(getattr(event, kind) for event in events) / 1e6
    wall = times[1] - times[0]
    print(f"profile: {wall / len(PROFILED):.3f} s a step, the device busy {busy / wall:.0%} of it")
    print(events.table(sort_by=kind, row_limit=20, max_name_column_width=60), flush=True)


def measure_authors(options: argparse.Namespace, config: TrainConfig, folder: Path) -> None:
    """Print the images a second of the authors' network, data and loop."""
    sys.path.insert(0, str(options.authors))
    collections.Iterable = collections.abc.Iterable  # type: ignore[attr-defined]  # until 3.9
    from model.pspnet import PSPNet as Theirs
    from util import dataset, transform
    from util import util as theirs

    device = torch.device(options.device)
    mean, std = (
        [255 * value for value in values]
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    steps = transform.Compose(
        [
            transform.RandScale([0.5, 2]),
            transform.RandRotate([-10, 10], padding=mean, ignore_label=255),
            transform.RandomGaussianBlur(),
            transform.RandomHorizontalFlip(),
            transform.Crop(
                [config.augmentation.crop] * 2, crop_type="rand", padding=mean, ignore_label=255
            ),
            transform.ToTensor(),
            transform.Normalize(mean=mean, std=std),
        ]
    )
    listed = folder / "list.txt"
    names = sorted(path.stem for path in (folder / "images/train").iterdir())
    listed.write_text("".join(f"images/train/{n}.jpg masks/train/{n}.png\n" for n in names))
    data = dataset.SemData("train", str(folder), str(listed), steps)
    network = Theirs(layers=50, classes=151, pretrained=False).to(device)
    old = [network.layer0, network.layer1, network.layer2, network.layer3, network.layer4]
    groups = [{"params": part.parameters(), "lr": 0.01} for part in old]
    groups += [
        {"params": part.parameters(), "lr": 0.1} for part in (network.ppm, network.cls, network.aux)
    ]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, weight_decay=1e-4)
    loader = torch.utils.data.DataLoader(
        data,
        config.optimizer.batch,
        shuffle=True,
        num_workers=config.run.workers or 0,
        pin_memory=device.type == "cuda",
        drop_last=True,
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    network.train()
    for step, (images, labels) in enumerate(forever(loader)):
        if step == config.optimizer.steps // 3:
            begin = time.perf_counter()
        if step == config.optimizer.steps:
            break
        images, labels = (part.to(device, non_blocking=True) for part in (images, labels))
        output, main, aux = network(images, labels)
        loss = main + 0.4 * aux
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device.type == "cpu":  # where torch.histc knows no integers
            output, labels = output.float(), labels.float()
        for counts in theirs.intersectionAndUnionGPU(output, labels, 151, 255):
            counts.cpu().numpy()
        for value in (main, aux, loss):
            value.item()
    done = (config.optimizer.steps - config.optimizer.steps // 3) * config.optimizer.batch
    text = f"authors: {done / (time.perf_counter() - begin):.1f} images/s in float32"
    if device.type == "cuda":
        text += f", peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
    print(text, flush=True)


def forever(loader: torch.utils.data.DataLoader) -> Iterator:
    """Repeat a loader's batches."""
    while True:
        yield from loader


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--crop", type=int, default=473)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--store", choices=("encoded", "raw"), default="encoded")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--authors", type=Path, metavar="DIR")
    options = parser.parse_args()
    config = train_config(
        backbone=options.backbone,
        stem="deep",
        init="none",
        crop=options.crop,
        batch=options.batch,
        precision=options.precision,
        workers=options.workers,
        steps=options.steps,
        log_every=10,
        eval_every=options.steps,
        save_every=options.steps,
    )
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        card = find_card(str(draw(folder, {"train": options.pairs, "val": 1})))
        prepare(card, folder, folder / "shards", conversion=Conversion(store=options.store))
        name = options.device
        if name.startswith("cuda"):
            name = torch.cuda.get_device_name()
        print(f"{name}, torch {torch.__version__}, {vars(options)}", flush=True)
        measure(options, config, folder, "train")
        if options.compile:
            measure(options, config.changed(compile=True), folder, "compiled")
        measure_loader(options, config, folder)
        measure_profile(options, config, folder)
        if options.authors:
            measure_authors(options, config, folder)


if __name__ == "__main__":
    main()

"""Training's two halves against plain ones, in one run: python tests/benchmarks/train.py

    loader  samples a second of one process, encoded and raw shards, against the usual chain of
            passes over whole pictures in float32 (decode, resize, rotate, blur, mirror, crop,
            normalize), on drawn pictures of 512x683 at crop 473
    step    one optimizer step of PSPNet-50 on a CPU at crop 233, batch 2, against torchvision's
            dilated ResNet-50 with a plain concatenating head, with the same loss and optimizer;
            then ours in bfloat16. --authors DIR, a checkout of hszhao/semseg, puts their network
            and their loss, at full size, in the place of the plain one, and ours has their stem

Both sides run in turns; printed are the medians of the turns' ratios.
"""

import argparse
import collections
import collections.abc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from drawn import draw
from torch import Tensor, nn
from torch.nn import functional as F

from psp.data.augment import Augmentation, choose
from psp.data.cardfile import find_card
from psp.data.loader import Crops
from psp.data.shards import ShardSplit
from psp.device import autocast
from psp.model.architecture import Architecture
from psp.model.preprocessing import IMAGENET
from psp.model.pspnet import Logits, build
from psp.prepare.conversion import Conversion
from psp.prepare.pipeline import prepare
from psp.settings.loss import LossSettings
from psp.settings.optimizer import OptimizerSettings
from psp.train.loss import Criterion
from psp.train.optim import parameter_groups

CPU = torch.device("cpu")
MEAN, STD = np.array(IMAGENET.mean, np.float32), np.array(IMAGENET.std, np.float32)


def chain(crops: Crops, folder: Path, number: int) -> tuple[Tensor, Tensor]:
    """One sample by passes over whole pictures, with the same random choices as ours."""
    name = crops.split.names[crops.index(number)]
    data = np.fromfile(folder / f"images/train/{name}.jpg", np.uint8)
    image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    image = image.astype(np.float32)
    data = np.fromfile(folder / f"masks/train/{name}.png", np.uint8)
    label = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    choice = choose(crops.settings, *label.shape, np.random.default_rng([0, number]))
    image = cv2.resize(image, None, fx=choice.scale, fy=choice.scale)
    label = cv2.resize(
        label, None, fx=choice.scale, fy=choice.scale, interpolation=cv2.INTER_NEAREST
    )
    if choice.angle:
        height, width = label.shape
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), choice.angle, 1)
        image = cv2.warpAffine(image, turn, (width, height), borderValue=MEAN.tolist())
        label = cv2.warpAffine(
            label, turn, (width, height), flags=cv2.INTER_NEAREST, borderValue=255
        )
    if choice.blur:
        image = cv2.GaussianBlur(image, (5, 5), 0)
    if choice.flip:
        image, label = cv2.flip(image, 1), cv2.flip(label, 1)
    crop = crops.settings.crop
    down, across = (max(crop - side, 0) for side in label.shape)
    if down or across:
        edges = (down // 2, down - down // 2, across // 2, across - across // 2)
        image = cv2.copyMakeBorder(image, *edges, cv2.BORDER_CONSTANT, value=MEAN.tolist())
        label = cv2.copyMakeBorder(label, *edges, cv2.BORDER_CONSTANT, value=255)
    top, left = max(choice.top, 0), max(choice.left, 0)
    image, label = (part[top : top + crop, left : left + crop] for part in (image, label))
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    for channel, mean, std in zip(pixels, MEAN, STD, strict=True):
        channel.sub_(float(mean)).div_(float(std))
    return pixels, torch.from_numpy(np.ascontiguousarray(label)).long()


def measure_loader(samples: int, turns: int) -> None:
    """Print samples a second of one process and the ratios."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        card = find_card(str(draw(folder, {"train": 64})))
        ways: dict[str, Callable[[int], object]] = {}
        for store in ("encoded", "raw"):
            out = folder / store
            prepare(card, folder, out, conversion=Conversion(store=store))
            ways[store] = Crops(ShardSplit(out, "train"), Augmentation(crop=473), 0).__getitem__
        crops = Crops(ShardSplit(folder / "encoded", "train"), Augmentation(crop=473), 0)
        ways["chain"] = lambda number: chain(crops, folder, number)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(turns + 1):
            for name, sample in ways.items():
                begin = time.process_time()
                for number in range(samples):
                    sample(number)
                if turn:  # the first warms up
                    seconds[name].append((time.process_time() - begin) / samples)
    for name, values in seconds.items():
        ratios = [a / b for a, b in zip(seconds["chain"], values, strict=True)]
        print(
            f"loader, {name}: {1 / statistics.median(values):.0f} samples/s a core, "
            f"{statistics.median(ratios):.1f} times the chain"
        )


class PlainPSPNet(nn.Module):
    """torchvision's dilated ResNet-50, a pyramid that concatenates, an auxiliary head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        backbone = torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])
        self.stem = nn.Sequential(backbone.conv1, backbone.bn1, backbone.relu, backbone.maxpool)
        self.middle = nn.Sequential(backbone.layer1, backbone.layer2, backbone.layer3)
        self.last = backbone.layer4
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), *self._conv(2048, 512, 1))
            for size in (1, 2, 3, 6)
        )
        self.head = nn.Sequential(
            *self._conv(4096, 512, 3), nn.Dropout(0.1), nn.Conv2d(512, classes, 1)
        )
        self.aux = nn.Sequential(
            *self._conv(1024, 256, 3), nn.Dropout(0.1), nn.Conv2d(256, classes, 1)
        )

    @staticmethod
    def _conv(inputs: int, outputs: int, size: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    def forward(self, images: Tensor) -> Logits:
        middle = self.middle(self.stem(images))
        x = self.last(middle)
        size = x.shape[2:]
        up = [
            F.interpolate(level(x), size, mode="bilinear", align_corners=True)
            for level in self.levels
        ]
        return Logits(self.head(torch.cat([x, *up], 1)), self.aux(middle))


def stepper(network: nn.Module, groups: object, precision: torch.dtype, ours: bool) -> Callable:
    """Return a function that does one optimizer step."""
    optimizer = torch.optim.SGD(groups, lr=1e-4, momentum=0.9, weight_decay=1e-4)
    criterion = Criterion(LossSettings(), align_corners=True)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 233, 233, 3), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 150, (2, 233, 233), generator=generator).to(torch.uint8)

    def step() -> None:
        pixels = IMAGENET(images)  # channels last
        with autocast(CPU, precision):
            logits = network(pixels if ours else pixels.contiguous())
        optimizer.zero_grad(set_to_none=True)
        criterion(logits, labels).total.backward()
        optimizer.step()

    return step


def authors_step(folder: Path) -> Callable:
    """Return a function that does one step of semseg's PSPNet-50, in float32 as it trains."""
    sys.path.insert(0, str(folder))
    collections.Iterable = collections.abc.Iterable  # type: ignore[attr-defined]  # until 3.9
    from model.pspnet import PSPNet as Theirs

    network = Theirs(layers=50, classes=150, pretrained=False).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    images, labels = torch.randn(2, 3, 233, 233), torch.randint(0, 150, (2, 233, 233))

    def step() -> None:
        _, main, aux = network(images, labels)
        optimizer.zero_grad()
        (main + 0.4 * aux).backward()
        optimizer.step()

    return step


def measure_step(turns: int, authors: Path | None) -> None:
    """Print the seconds of a step and the ratios."""
    torch.manual_seed(0)
    if authors:
        first, stem, steps = "semseg fp32", "deep", {"semseg fp32": authors_step(authors)}
    else:
        plain = PlainPSPNet(150).train()
        first, stem = "plain fp32", "7x7"
        steps = {first: stepper(plain, plain.parameters(), torch.float32, ours=False)}
    for name, precision in (("psp fp32", torch.float32), ("psp bf16", torch.bfloat16)):
        network = build(Architecture(classes=150, backbone="resnet50", stem=stem)).train()
        network = network.to(memory_format=torch.channels_last)
        settings = OptimizerSettings(head_lr=10, bias_lr=2, weight_decay=1e-4, norm_decay=True)
        groups = parameter_groups(network, settings, pretrained="backbone.")
        steps[name] = stepper(network, groups, precision, ours=True)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            if turn:
                seconds[name].append(time.perf_counter() - begin)
    for name, values in seconds.items():
        ratios = [a / b for a, b in zip(seconds[first], values, strict=True)]
        print(
            f"step, {name}: {statistics.median(values):.2f} s, "
            f"{statistics.median(ratios):.2f} times as fast as {first}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("loader", "step"))
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--authors", type=Path, metavar="DIR")
    options = parser.parse_args()
    if options.only != "loader":
        measure_step(options.turns, options.authors)
    if options.only != "step":
        measure_loader(options.samples, options.turns)


if __name__ == "__main__":
    main()

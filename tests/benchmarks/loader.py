"""Loading for a training, on one core: python tests/benchmarks/loader.py [--authors DIR]

    encoded, raw   psp's batches of crops from shards, as a training gets them; a second time with
                   the normalization counted that psp leaves to the device
    authors        the same pictures by the loader of hszhao/semseg (a checkout at DIR): files on
                   disk, their transforms, their normalization, torch's collation

Batches of 16 at crop 473 from drawn pictures of 683x512, without worker processes. All take turns;
printed are samples a second, and the median of the turns' ratios.
"""

import argparse
import collections.abc
import contextlib
import io
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import torch
from drawn import draw

from psp.data.augment import Augmentation
from psp.data.cardfile import find_card
from psp.data.loader import Crops, batches
from psp.data.shards import ShardSplit
from psp.model.preprocessing import IMAGENET
from psp.prepare.conversion import Conversion
from psp.prepare.pipeline import prepare

CROP, BATCH = 473, 16


def authors(checkout: Path, folder: Path) -> Iterator[object]:
    """Yield the authors' batches of the same pictures, epoch after epoch."""
    sys.path.insert(0, str(checkout))
    collections.Iterable = collections.abc.Iterable  # type: ignore[attr-defined]  # until 3.9
    from util import dataset, transform

    mean, std = list(IMAGENET.mean), list(IMAGENET.std)
    steps = transform.Compose(
        [
            transform.RandScale([0.5, 2]),
            transform.RandRotate([-10, 10], padding=mean, ignore_label=255),
            transform.RandomGaussianBlur(),
            transform.RandomHorizontalFlip(),
            transform.Crop([CROP, CROP], crop_type="rand", padding=mean, ignore_label=255),
            transform.ToTensor(),
            transform.Normalize(mean=mean, std=std),
        ]
    )
    names = sorted(path.stem for path in (folder / "images/train").iterdir())
    (folder / "list.txt").write_text(
        "".join(f"images/train/{name}.jpg masks/train/{name}.png\n" for name in names)
    )
    with contextlib.redirect_stdout(io.StringIO()):
        data = dataset.SemData("train", str(folder), str(folder / "list.txt"), steps)
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, drop_last=True)
    while True:
        yield from loader


def ours(shards: Path) -> Iterator[torch.Tensor]:
    """Yield the pictures of psp's batches."""
    crops = Crops(ShardSplit(shards, "train"), Augmentation(crop=CROP), 0)
    for images, _ in batches(crops, BATCH, range(10**6), 0, pin=False):
        yield images


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--authors", type=Path, metavar="DIR")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8, help="batches a turn")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        card = find_card(str(draw(folder, {"train": options.pairs})))
        ways: dict[str, Callable[[], object]] = {}
        for store in ("encoded", "raw"):
            prepare(card, folder, folder / store, conversion=Conversion(store=store))
            plain, counted = ours(folder / store), ours(folder / store)
            ways[store] = plain.__next__
            ways[f"{store}, normalized"] = map(IMAGENET, counted).__next__
        if options.authors:
            ways["authors"] = authors(options.authors, folder).__next__
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn, (name, batch) in itertools.product(range(options.turns + 1), ways.items()):
            begin = time.process_time()
            for _ in range(options.steps):
                batch()
            if turn:  # the first warms up
                seconds[name].append((time.process_time() - begin) / options.steps / BATCH)
    for name, values in seconds.items():
        line = f"{name}: {1 / statistics.median(values):.0f} samples/s a core"
        if options.authors and name != "authors":
            ratios = [a / b for a, b in zip(seconds["authors"], values, strict=True)]
            line += f", {statistics.median(ratios):.2f} times the authors'"
        print(line)


if __name__ == "__main__":
    main()

"""A recipe for a data set whose card has none: found from its pictures and from the device.

The rules, and what they are for, are in docs/training.md.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from psp.data.shards import ShardSplit
from psp.train.checks import train_split

CROPS = [48 * k - 7 for k in range(1, 11)]  # 41 to 473, the paper's: all divide by all bins
CPU_CROP, GPU_CROP = 233, 473  # the largest
PASSES = 50  # over the training pictures
CPU_STEPS, GPU_STEPS = (500, 4_000), (2_000, 40_000)  # the fewest and the most
LARGE_GPU = 10e9  # bytes, for ResNet-50
FINE_TUNING_LR = 0.003  # at the paper's 0.01 a short fine-tuning unlearns (docs/training.md)


@dataclass(frozen=True)
class FoundRecipe:
    """Settings by name, and for each where it comes from."""

    values: dict[str, Any]
    sources: dict[str, str]


def find_recipe(
    shards: Path, split: str | None, batch: int | None, device: torch.device, ranks: int
) -> FoundRecipe:
    """Return backbone, crop, batch and steps for a data set, trained on `ranks` such devices.

    `split` and `batch` are what the user chose, if anything. Raises ShardError for shards that
    cannot be read.
    """
    data = ShardSplit(shards, train_split(shards, split))
    gpu = device.type == "cuda"
    memory = torch.cuda.get_device_properties(device).total_memory if gpu else 0
    backbone = "resnet50" if memory >= LARGE_GPU else "resnet18"
    short = int(np.median(data.sizes.min(1)))
    crop = largest_crop(short, GPU_CROP if gpu else CPU_CROP)
    own = batch or shared_batch(16 if gpu else 8, ranks)
    steps = steps_for(len(data), own, *(GPU_STEPS if gpu else CPU_STEPS))
    where = f"GPU of {memory / 1e9:.0f} GB" if gpu else device.type
    count = f"{len(data)} picture{'' if len(data) == 1 else 's'}"
    values = {"backbone": backbone, "crop": crop, "batch": own, "steps": steps}
    sources = {
        "backbone": f"from the device: {where}",
        "crop": f"from the data: a short side of {short} pixels, on {where}",
        "batch": f"from the device: {where}",
        "steps": f"from the data: {count}",
    }
    if gpu:
        values["accumulate"] = None  # auto: as few parts as fit its memory
        sources["accumulate"] = f"from the device: {where}"
    return FoundRecipe(values, sources)


def largest_crop(short: int, most: int) -> int:
    """Return the largest crop of the form 48k-7 within a short side and `most`; 41 at least."""
    return max([crop for crop in CROPS if crop <= min(short, most)], default=CROPS[0])


def shared_batch(batch: int, ranks: int) -> int:
    """Return the next batch that divides by the ranks."""
    return -(-batch // ranks) * ranks


def steps_for(pictures: int, batch: int, fewest: int, most: int) -> int:
    """Return the steps of so many passes over the pictures, in hundreds, within bounds."""
    wanted = -(-PASSES * pictures // batch)
    return min(most, max(fewest, -(-wanted // 100) * 100))

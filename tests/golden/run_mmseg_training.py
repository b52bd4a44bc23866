"""What mmsegmentation's own training does to crops and to the learning rate, as a file of results.

    mmseg/bin/python tests/golden/run_mmseg_training.py tests/golden/mmseg_training.npz

with the environment of run_mmseg.py. Its random numbers are replaced by given ones, so that the
results are those of known choices. tests/golden/test_mmseg_training.py compares psp with them.
"""

import argparse
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from mmengine.optim.scheduler import PolyLR
from mmseg.datasets.transforms import transforms
from mmseg_training_cases import CROP, DISTORTIONS, LIMIT, PLACES, SCHEDULES, label, picture


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    results = {}
    for name, choices in DISTORTIONS.items():
        results[f"distorted/{name}"] = distorted(choices)
    for name, places in PLACES.items():
        results[f"place/{name}"] = np.array(place(name, places))
    for name, (lr, floor, power, steps, shown) in SCHEDULES.items():
        results[f"lr/{name}"] = schedule(lr, floor, power, steps)[list(shown)]
    np.savez_compressed(out, **results)


def distorted(choices):
    """Return the picture with a distortion's choices, in RGB."""
    brightness, contrast, first, saturation, hue = choices
    coins, values = [], []
    for value in (brightness, "mode", contrast if first else "later", saturation, hue, contrast):
        if value == "mode":
            coins.append(int(first))
        elif value != "later":
            coins.append(int(value is not None))
    coins = coins[:-1] if first else coins
    order = (brightness, contrast, saturation) if first else (brightness, saturation, contrast)
    values = [value for value in order if value is not None]

    def randint(low, high=None):
        return coins.pop(0) if high is None else hue

    with mock.patch.object(transforms, "random") as random:
        random.randint, random.uniform = randint, lambda low, high: values.pop(0)
        found = transforms.PhotoMetricDistortion().transform({"img": picture()[:, :, ::-1].copy()})
    assert not coins and not values
    return found["img"][:, :, ::-1]


def place(name, places):
    """Return where RandomCrop puts the crop, given the places it draws: the top and the left."""
    numbers = [number for pair in places for number in pair]
    crop = transforms.RandomCrop(crop_size=(CROP, CROP), cat_max_ratio=LIMIT)
    seg = label(name)
    with mock.patch("numpy.random.randint", lambda low, high: numbers.pop(0)):
        top, _, left, _ = crop.crop_bbox({"img": np.zeros((*seg.shape, 3)), "gt_seg_map": seg})
    return top, left


def schedule(lr, floor, power, steps):
    """Return the learning rate of every step."""
    weights = [torch.nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.SGD(weights, lr=lr)
    policy = PolyLR(optimizer, eta_min=floor, power=power, begin=0, end=steps, by_epoch=False)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        policy.step()
    return np.array(rates)


if __name__ == "__main__":
    main()

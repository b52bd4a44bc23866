"""Windows of a split as a network sees them: what an int8 file is calibrated with."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from psp.data.find import find_shards
from psp.data.shards import ShardSplit
from psp.evaluate.count import check_classes
from psp.model.choice import Choice
from psp.model.cut import view_pixels, window_input
from psp.model.weights import Header
from psp.model.windows import scaled_views, windows

PICTURES = 64  # spread evenly over the split


def calibration_windows(data: Path, split: str, header: Header) -> Iterator[NDArray[np.float32]]:
    """Yield a window of each of 64 pictures of a split, normalized, float32 (3, H, W).

    They are windows of psp evaluate, at seeded places. Raises PspError if there are no such shards,
    or their classes are not the model's.
    """
    procedure = Choice()(header)
    shards = ShardSplit(find_shards(data), split)
    check_classes(shards, header.classes, "the model", "--int8")
    random = np.random.default_rng(0)
    count = min(PICTURES, len(shards))
    for index in range(count):
        image = shards.image(index * len(shards) // count)
        height, width = image.shape[:2]
        corners = header.architecture.align_corners
        views = scaled_views((height, width), procedure, align_corners=corners)[:1]
        places = windows(views, slice(0, width))
        place = places[int(random.integers(len(places)))]
        (pixels,) = view_pixels(image, views, procedure, torch.device("cpu"))
        yield window_input(pixels, views[0], place, header.preprocessing).numpy()
    shards.close()

"""Label maps of many pictures, whose windows go through the network together.

A picture of a single window would leave the network's batch nearly empty; the next pictures, if
their windows have the same size, fill it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psp.model.inference import SlidingWindow
from psp.model.procedure import Procedure
from psp.model.windows import scaled_views, windows

Image = NDArray[np.uint8]


def label_maps(
    model: SlidingWindow, images: Iterable[Image], procedure: Procedure
) -> Iterator[Tensor]:
    """Yield the label map of each picture in order, as `SlidingWindow.label_map` returns it.

    No more pictures are held than whose windows fit into one batch: an exception of `images` comes
    after the label maps of those before it.
    """
    group: list[Image] = []
    sides, count = (0, 0), 0
    pictures = iter(images)
    while True:
        try:
            image = next(pictures, None)
        except BaseException:
            yield from _together(model, group, procedure)
            raise
        if image is None:
            yield from _together(model, group, procedure)
            return
        own_sides, own_count = _windows(model, image, procedure)
        if group and (own_sides != sides or count + own_count > model.together(sides, 1)):
            yield from _together(model, group, procedure)
            group, count = [], 0
        group.append(image)
        sides, count = own_sides, count + own_count


def _windows(
    model: SlidingWindow, image: Image, procedure: Procedure
) -> tuple[tuple[int, int], int]:
    """Return the sides of a picture's windows and how many go through the network.

    Of several scales, the sides are of none, as each scale has windows of its own.
    """
    height, width = image.shape[:2]
    views = scaled_views((height, width), procedure, align_corners=model.align_corners)
    passes = 1 + procedure.mirrors_windows
    sides = {view.sides for view in views}
    count = passes * len(windows(views, slice(0, width)))
    return (sides.pop(), count) if len(sides) == 1 else ((1, 1), model.window_batch)


@torch.inference_mode()
def _together(model: SlidingWindow, images: list[Image], procedure: Procedure) -> list[Tensor]:
    """Return the label maps of pictures; their first windows go through the network together."""
    if len(images) < 2:
        return [model.label_map(image, procedure) for image in images]
    steps = [model.steps(image, procedure) for image in images]
    first = [next(step) for step in steps]
    windows = [step for step in first if isinstance(step, Tensor)]
    logits = iter(model.logits(torch.cat(windows), procedure))
    results = []
    for image, step, own in zip(images, steps, windows, strict=True):
        given = list(islice(logits, len(own)))
        results.append(model.labels_of(model.tiles_of(step, procedure, given), image))
    return results

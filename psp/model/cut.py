"""Windows cut out of a picture at a scale, as the network takes them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psp.images.resize import resize_bilinear
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import Procedure
from psp.model.resample import resample
from psp.model.windows import ScaledView, Window


def view_pixels(
    image: NDArray[np.uint8],
    views: Sequence[ScaledView],
    procedure: Procedure,
    device: torch.device,
) -> list[Tensor]:
    """Return the pixels that each view is made from, uint8 (h, w, 3) on the device."""
    library = procedure.rules.resized
    if library is None:
        own = torch.from_numpy(np.ascontiguousarray(image)).to(device)
        return [own] * len(views)
    pictures = []
    for view in views:
        size = view.rows.length, view.columns.length
        pixels = resize_bilinear(image, size, library)[:, :: -1 if view.mirrored else 1]
        pictures.append(torch.from_numpy(pixels.copy()).to(device))
    return pictures


def window_input(
    pixels: Tensor, view: ScaledView, window: Window, preprocessing: Preprocessing
) -> Tensor:
    """Return the network's input for a window, float32 (3, height, width), padded with 0."""
    down, across = view.rows, view.columns
    rows, columns = down.inside(window.top), across.inside(window.left)
    source = across.into.source[columns]
    first, last = int(source.min()), int(source.max())
    part = resample(pixels[:, first : last + 1], 0, down.into.part(rows))
    part = resample(part, 1, across.into.part(columns).moved(-first))  # (rows, columns, 3)
    padded = torch.zeros(3, *view.sides, device=pixels.device)
    top = rows.start + down.before - window.top
    left = columns.start + across.before - window.left
    inside = padded[:, top : top + part.shape[0], left : left + part.shape[1]]
    inside.copy_(preprocessing(part[None])[0])
    return padded

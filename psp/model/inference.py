"""Class probabilities of a picture at its own size: the one place that knows how.

Resize to the base size and scale, cut into windows at a stride of two thirds, mirror, softmax,
average: the authors' test procedures (`psp.model.windows` says where they lie). Validation while training,
evaluation and prediction all come here, so they agree by construction.

The result is made tile by tile. A window's scores stay at 1/8 of its size from when the first tile
needs it until the last one did; a tile upsamples the few rows it needs by two small matrices, with
the classes of a pixel side by side, so that they pass through the processor's cache once. Neither
the scaled picture nor the result's probabilities ever exist as a whole unless they are asked for.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from psp.device import compiled as compile_network
from psp.errors import PspError
from psp.model.fold import fold
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import Procedure
from psp.model.pspnet import Logits, PSPNet
from psp.model.resample import resample, upsampling
from psp.model.weights import Header, load_network
from psp.model.windows import ScaledView, Window, scaled_view, windows

# Numbers (float32) in a tile of the result: on a CPU so few that it stays in the cache, on a GPU
# enough to keep it busy. A tile has all the columns, or TILE_ROWS rows and as many as that leaves.
TILE = {"cpu": 1 << 20}
TILE_ELSEWHERE = 1 << 26
TILE_ROWS = 8
# Windows that go through the network together, mirrored ones counted. On a CPU more are slower:
# maps so large are given back to the system after each layer and have to be had anew.
TOGETHER = {"cpu": 2}
TOGETHER_ELSEWHERE = 16
# Numbers in the scores that are kept (1 GB): a picture that needs more is parsed strip by strip.
KEPT = 1 << 28


@dataclass(frozen=True)
class SlidingWindow:
    """A network with all that is needed to run it on pictures.

    `network` maps normalized (B, 3, crop, crop) in `precision` to logits. `window_batch` is how
    many windows go through it at a time, mirrored ones counted. With `constant` it gets exactly so
    many, filled up with zeros: a compiled network is compiled for one shape.
    """

    network: Callable[[Tensor], Logits]
    classes: int
    preprocessing: Preprocessing
    device: torch.device
    precision: torch.dtype = torch.float32
    align_corners: bool = True
    window_batch: int = 2
    constant: bool = False

    @torch.inference_mode()
    def label_map(self, image: NDArray[np.uint8], procedure: Procedure) -> Tensor:
        """Return the most probable class ids, uint8 (H, W), on the device, for uint8 (H, W, 3) RGB.

        They are the argmax of `probabilities`, exactly, but in memory that stays bounded.
        """
        labels = torch.empty(image.shape[:2], dtype=torch.uint8, device=self.device)
        for rows, columns, found in self._tiles(image, procedure):
            labels[rows, columns] = found.argmax(2)
        return labels

    @torch.inference_mode()
    def probabilities(self, image: NDArray[np.uint8], procedure: Procedure) -> Tensor:
        """Return float32 (classes, H, W), summing to 1 over classes, for a uint8 (H, W, 3) RGB.

        In memory the classes of a pixel lie side by side.
        """
        whole = torch.empty(*image.shape[:2], self.classes, device=self.device)
        for rows, columns, found in self._tiles(image, procedure):
            whole[rows, columns] = found
        return whole.permute(2, 0, 1)

    def _tiles(
        self, image: NDArray[np.uint8], procedure: Procedure
    ) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield probabilities (rows, columns, classes) of parts of the picture, topmost first."""
        height, width = image.shape[:2]
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        views = [
            scaled_view(
                (height, width),
                scale,
                crop=procedure.crop,
                base_size=procedure.base_size,
                procedure=procedure.name,
            )
            for scale in procedure.scales
        ]
        averaged = 2 if procedure.flip and procedure.name == "torch" else 1  # views of a window
        tile = TILE.get(self.device.type, TILE_ELSEWHERE) // self.classes  # pixels
        for strip in _pieces(slice(0, width), self._strip(views, procedure)):
            high = max(tile // (strip.stop - strip.start), TILE_ROWS)
            waiting = deque(windows(views, strip))
            scores: dict[Window, Tensor] = {}
            for rows in _pieces(slice(0, height), high):
                while waiting and waiting[0].first < rows.stop:
                    together = max(1, self.window_batch // (1 + procedure.flip))
                    group = [waiting.popleft() for _ in range(min(together, len(waiting)))]
                    found = self._scores(pixels, views, group, procedure)
                    scores |= zip(group, found, strict=True)
                for columns in _pieces(strip, max(1, tile // high)):
                    total = self._tile(views[0], 0, rows, columns, scores)
                    for number, view in enumerate(views[1:], start=1):
                        total += self._tile(view, number, rows, columns, scores)
                    yield rows, columns, total.div_(len(views) * averaged)
                scores = {key: value for key, value in scores.items() if key.last >= rows.stop}

    def _strip(self, views: Sequence[ScaledView], procedure: Procedure) -> int:
        """Return how many columns of the result are made at a time, so that scores fit `KEPT`."""
        side = -(-procedure.crop // 8)
        window = (1 + procedure.flip) * side * side * self.classes
        # Up to three rows of windows meet, and windows are two thirds of their side apart.
        densest = sum(view.columns.length for view in views) * 3 * 1.5 / procedure.crop * window
        width = len(views[0].columns.back.source)
        return max(procedure.crop, int(width * KEPT / densest))

    def _scores(
        self,
        pixels: Tensor,
        views: Sequence[ScaledView],
        group: Sequence[Window],
        procedure: Procedure,
    ) -> list[Tensor]:
        """Return each window's logits, float32 (1 or 2, h, w, classes): as seen, and mirrored.

        The mirrored ones are turned back. Their sum alone is there the Caffe way.
        """
        images = torch.stack([self._window(pixels, views[one.view], one) for one in group])
        if procedure.flip:
            images = torch.cat([images, images.flip(3)])  # (B, 3, crop, crop)
        count = len(images)
        if self.constant and count < self.window_batch:
            images = F.pad(images, (0, 0) * 3 + (0, self.window_batch - count))
        images = images.to(self.precision).contiguous(memory_format=torch.channels_last)
        with _exact(self.device, self.precision):
            logits = self.network(images).main[:count]
        found = logits.float().permute(0, 2, 3, 1).contiguous()  # (B, h, w, classes)
        if not procedure.flip:
            return list(found[:, None])
        seen, mirrored = found.chunk(2)
        if procedure.name == "caffe":
            return list((seen + mirrored.flip(2))[:, None])
        return list(torch.stack([seen, mirrored.flip(2)], dim=1))

    def _window(self, pixels: Tensor, view: ScaledView, window: Window) -> Tensor:
        """Return a window as the network sees it, float32 (3, crop, crop), padded with 0."""
        (down, across), crop = view, view.rows.crop
        rows, columns = down.inside(window.top), across.inside(window.left)
        source = across.into.source[columns]
        first, last = int(source.min()), int(source.max())
        part = resample(pixels[:, first : last + 1], 0, down.into.part(rows))
        part = resample(part, 1, across.into.part(columns).moved(-first))  # (rows, columns, 3)
        padded = torch.zeros(3, crop, crop, device=self.device)
        top = rows.start + down.before - window.top
        left = columns.start + across.before - window.left
        place = padded[:, top : top + part.shape[0], left : left + part.shape[1]]
        place.copy_(self.preprocessing(part[None])[0])
        return padded

    def _tile(
        self,
        view: ScaledView,
        number: int,
        rows: slice,
        columns: slice,
        scores: dict[Window, Tensor],
    ) -> Tensor:
        """Return what one view gives for a part of the result: (rows, columns, classes).

        Probabilities, summed over a window as seen and mirrored.
        """
        down, across = view
        y, row_taps = down.needed(rows)
        x, column_taps = across.needed(columns)
        parts = []
        for window, found in scores.items():
            here = window.view == number and down.covers(y, window.top)
            if here and across.covers(x, window.left):
                place = down.covered(y, window.top), across.covered(x, window.left)
                up = self._up(found.shape[1], down.crop)[y[place[0]] - window.top]
                over = self._up(found.shape[2], across.crop)[x[place[1]] - window.left]
                parts.append((place, _probabilities(found, up, over)))
        total = _mean(parts, down.counts(y), across.counts(x))
        return resample(resample(total, 0, row_taps), 1, column_taps)

    def _up(self, length: int, crop: int) -> Tensor:
        """Return the matrix that upsamples scores to a window's side, (crop, length)."""
        return upsampling(length, crop, align_corners=self.align_corners, device=self.device)


def _probabilities(scores: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Upsample logits (V, h, w, classes) by (H, h) and (W, w) matrices; the sum of their softmax.

    Returns (H, W, classes).
    """
    views, h, w, classes = scores.shape
    rows = (down @ scores.view(views, h, w * classes)).view(views * len(down), w, classes)
    found = (across @ rows).softmax(2)  # (V * H, W, classes)
    if views == 1:
        return found
    seen, mirrored = found.chunk(2)
    return seen.add_(mirrored)


def _mean(
    parts: Sequence[tuple[tuple[slice, slice], Tensor]],
    row_counts: NDArray[np.float32],
    column_counts: NDArray[np.float32],
) -> Tensor:
    """Ema (rows, columns, classes) parts in their places; so many lie over each row, column."""
    first = parts[0][1]
    if len(parts) == 1:
        return first
    total = first.new_zeros(len(row_counts), len(column_counts), first.shape[2])
    for place, part in parts:
        total[place] += part
    for axis, counts in ((0, row_counts), (1, column_counts)):
        if counts.max() > 1:
            shape = [-1 if dimension == axis else 1 for dimension in range(3)]
            total /= torch.from_numpy(counts).to(total.device).view(shape)
    return total


def _exact(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """Return the context in which float32 is float32: cuDNN rounds to TF32 by default."""
    if device.type != "cuda" or precision != torch.float32:
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)


def _pieces(whole: slice, size: int) -> Iterator[slice]:
    """Cut a range into pieces of almost equal length, `size` at most."""
    length = whole.stop - whole.start
    count = -(-length // size)
    for number in range(count):
        first, stop = (length * n // count for n in (number, number + 1))
        yield slice(whole.start + first, whole.start + stop)


def sliding_window(
    network: PSPNet, preprocessing: Preprocessing, device: torch.device, precision: torch.dtype
) -> SlidingWindow:
    """Return a SlidingWindow of a network as it is now; the network itself stays as it is."""
    return _sliding_window(deepcopy(network), preprocessing, device, precision)


def load_sliding_window(
    path: Path,
    device: torch.device,
    precision: torch.dtype,
    *,
    window_batch: int | None = None,
    compiled: bool = False,
) -> tuple[SlidingWindow, Header]:
    """Load a weights file onto a device, ready to run, with its header.

    `window_batch` None is the device's own. `compiled` runs the network through torch.compile: the
    first window takes a minute, the others less time.
    """
    if window_batch is not None and not 1 <= window_batch <= 1024:
        raise PspError(f"--window-batch {window_batch}: 1 to 1024.")
    network, header = load_network(path)
    found = _sliding_window(network, header.preprocessing, device, precision)
    if window_batch:
        found = replace(found, window_batch=window_batch)
    if compiled:
        found = replace(found, network=compile_network(found.network, device), constant=True)
    return found, header


def _sliding_window(
    network: PSPNet, preprocessing: Preprocessing, device: torch.device, precision: torch.dtype
) -> SlidingWindow:
    spec = network.spec
    return SlidingWindow(
        fold(network, precision).to(device),
        spec.classes,
        preprocessing,
        device,
        precision,
        spec.align_corners,
        TOGETHER.get(device.type, TOGETHER_ELSEWHERE),
    )

"""Class probabilities of a picture at its own size: the one place that computes them.

Resize to the base size and scale, cut into windows at a stride of two thirds, mirror, softmax,
average: the authors' test procedures (windows.py says where windows lie). Validation while
training, evaluation and prediction all come here, so they agree by construction.

The result is computed tile by tile. A window's logits are kept at 1/8 of its size from the first
tile that needs them to the last; a tile upsamples the few rows it needs by two small matrices, with
the classes of a pixel side by side, so that they pass through the processor's cache once. Neither
the scaled picture nor the result's probabilities exist as a whole unless they are asked for.
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
from psp.model.backbones.backbone import Backbone
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
# the C library returns such large maps to the system after each layer and must ask for them again.
WINDOW_BATCH = {"cpu": 2}
WINDOW_BATCH_ELSEWHERE = 16
# Numbers in the logits that are kept (1 GB): a picture that needs more is done strip by strip.
KEPT = 1 << 28


@dataclass(frozen=True)
class SlidingWindow:
    """A network with everything that is needed to run it on pictures, window by window.

    `network` maps normalized (B, 3, crop, crop) in `precision` to logits. `window_batch` is how
    many windows go through it at a time, mirrored ones counted. With `constant` it gets exactly so
    many, padded with zeros: a compiled network is compiled for one shape.
    """

    network: Callable[[Tensor], Logits]
    classes: int
    preprocessing: Preprocessing
    device: torch.device
    precision: torch.dtype = torch.float32
    align_corners: bool = True
    window_batch: int = 2
    constant: bool = False
    map_side: Callable[[int], int] = Backbone.map_side  # of the logits, for a window's side

    @torch.inference_mode()
    def label_map(self, image: NDArray[np.uint8], procedure: Procedure) -> Tensor:
        """Return the most probable class ids, uint8 (H, W), on the device, for uint8 (H, W, 3) RGB.

        They are exactly the argmax of `probabilities`, but computed in bounded memory.
        """
        labels = torch.empty(image.shape[:2], dtype=torch.uint8, device=self.device)
        for rows, columns, probabilities in self.tiles(image, procedure):
            labels[rows, columns] = probabilities.argmax(2)
        return labels

    @torch.inference_mode()
    def confident_label_map(
        self, image: NDArray[np.uint8], procedure: Procedure
    ) -> tuple[Tensor, Tensor]:
        """Return the label map as `label_map`, and each label's probability, float32 (H, W)."""
        labels = torch.empty(image.shape[:2], dtype=torch.uint8, device=self.device)
        confidence = torch.empty(image.shape[:2], device=self.device)
        for rows, columns, probabilities in self.tiles(image, procedure):
            labels[rows, columns] = probabilities.argmax(2)
            confidence[rows, columns] = probabilities.amax(2)
        return labels, confidence

    @torch.inference_mode()
    def probabilities(self, image: NDArray[np.uint8], procedure: Procedure) -> Tensor:
        """Return float32 (classes, H, W), summing to 1 over classes, for a uint8 (H, W, 3) RGB.

        In memory the classes of a pixel lie side by side.
        """
        result = torch.empty(*image.shape[:2], self.classes, device=self.device)
        for rows, columns, probabilities in self.tiles(image, procedure):
            result[rows, columns] = probabilities
        return result.permute(2, 0, 1)

    def tiles(
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
                base_size=procedure.long_side(max(height, width)),
                procedure=procedure.name,
            )
            for scale in procedure.scales
        ]
        averaged = 2 if procedure.flip and procedure.name == "torch" else 1  # results of a window
        tile = TILE.get(self.device.type, TILE_ELSEWHERE) // self.classes  # pixels
        for strip in _pieces(slice(0, width), self._strip(views, procedure)):
            high = max(tile // (strip.stop - strip.start), TILE_ROWS)
            waiting = deque(windows(views, strip))
            logits: dict[Window, Tensor] = {}
            for rows in _pieces(slice(0, height), high):
                while waiting and waiting[0].first < rows.stop:
                    together = max(1, self.window_batch // (1 + procedure.flip))
                    group = [waiting.popleft() for _ in range(min(together, len(waiting)))]
                    new = self._logits(pixels, views, group, procedure)
                    logits |= zip(group, new, strict=True)
                for columns in _pieces(strip, max(1, tile // high)):
                    total = self._tile(views[0], 0, rows, columns, logits)
                    for index, view in enumerate(views[1:], start=1):
                        total += self._tile(view, index, rows, columns, logits)
                    yield rows, columns, total.div_(len(views) * averaged)
                logits = {key: value for key, value in logits.items() if key.last >= rows.stop}

    def _strip(self, views: Sequence[ScaledView], procedure: Procedure) -> int:
        """Return how many columns are computed at a time, so that their logits fit `KEPT`."""
        side = self.map_side(procedure.crop)
        window = (1 + procedure.flip) * side * side * self.classes
        # Up to three rows of windows meet, and windows are two thirds of their side apart.
        densest = sum(view.columns.length for view in views) * 3 * 1.5 / procedure.crop * window
        width = len(views[0].columns.back.source)
        return max(procedure.crop, int(width * KEPT / densest))

    def _logits(
        self,
        pixels: Tensor,
        views: Sequence[ScaledView],
        group: Sequence[Window],
        procedure: Procedure,
    ) -> list[Tensor]:
        """Return each window's logits, float32 (1 or 2, h, w, classes): plain, and mirrored.

        The mirrored ones are flipped back. The procedure `caffe` has their sum instead.
        """
        images = torch.stack([self._window(pixels, views[window.view], window) for window in group])
        if procedure.flip:
            images = torch.cat([images, images.flip(3)])  # (B, 3, crop, crop)
        count = len(images)
        if self.constant and count < self.window_batch:
            images = F.pad(images, (0, 0) * 3 + (0, self.window_batch - count))
        images = images.to(self.precision).contiguous(memory_format=torch.channels_last)
        with _exact(self.device, self.precision):
            logits = self.network(images).main[:count]
        logits = logits.float().permute(0, 2, 3, 1).contiguous()  # (B, h, w, classes)
        if not procedure.flip:
            return list(logits[:, None])
        plain, mirrored = logits.chunk(2)
        if procedure.name == "caffe":
            return list((plain + mirrored.flip(2))[:, None])
        return list(torch.stack([plain, mirrored.flip(2)], dim=1))

    def _window(self, pixels: Tensor, view: ScaledView, window: Window) -> Tensor:
        """Return the network's input for a window, float32 (3, crop, crop), padded with 0."""
        (down, across), crop = view, view.rows.crop
        rows, columns = down.inside(window.top), across.inside(window.left)
        source = across.into.source[columns]
        first, last = int(source.min()), int(source.max())
        part = resample(pixels[:, first : last + 1], 0, down.into.part(rows))
        part = resample(part, 1, across.into.part(columns).moved(-first))  # (rows, columns, 3)
        padded = torch.zeros(3, crop, crop, device=self.device)
        top = rows.start + down.before - window.top
        left = columns.start + across.before - window.left
        inside = padded[:, top : top + part.shape[0], left : left + part.shape[1]]
        inside.copy_(self.preprocessing(part[None])[0])
        return padded

    def _tile(
        self,
        view: ScaledView,
        index: int,
        rows: slice,
        columns: slice,
        logits: dict[Window, Tensor],
    ) -> Tensor:
        """Return probabilities of one view for a part of the result: (rows, columns, classes).

        They are summed over a window and its mirrored copy.
        """
        down, across = view
        y, row_taps = down.needed(rows)
        x, column_taps = across.needed(columns)
        parts = []
        for window, coarse in logits.items():
            here = window.view == index and down.covers(y, window.top)
            if here and across.covers(x, window.left):
                covered = down.covered(y, window.top), across.covered(x, window.left)
                up = self._up(coarse.shape[1], down.crop)[y[covered[0]] - window.top]
                over = self._up(coarse.shape[2], across.crop)[x[covered[1]] - window.left]
                parts.append((covered, _probabilities(coarse, up, over)))
        total = _mean(parts, down.counts(y), across.counts(x))
        return resample(resample(total, 0, row_taps), 1, column_taps)

    def _up(self, length: int, crop: int) -> Tensor:
        """Return the matrix that upsamples logits to a window's side, (crop, length)."""
        return upsampling(length, crop, align_corners=self.align_corners, device=self.device)


def _probabilities(logits: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Upsample logits (V, h, w, classes) by (H, h) and (W, w) matrices; the sum of their softmax.

    Returns (H, W, classes).
    """
    views, h, w, classes = logits.shape
    rows = (down @ logits.view(views, h, w * classes)).view(views * len(down), w, classes)
    probabilities = (across @ rows).softmax(2)  # (V * H, W, classes)
    if views == 1:
        return probabilities
    plain, mirrored = probabilities.chunk(2)
    return plain.add_(mirrored)


def _mean(
    parts: Sequence[tuple[tuple[slice, slice], Tensor]],
    row_counts: NDArray[np.float32],
    column_counts: NDArray[np.float32],
) -> Tensor:
    """Average overlapping (rows, columns, classes) parts; the counts say how many cover a line."""
    first = parts[0][1]
    if len(parts) == 1:
        return first
    total = first.new_zeros(len(row_counts), len(column_counts), first.shape[2])
    for covered, part in parts:
        total[covered] += part
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
    for index in range(count):
        first, stop = (length * n // count for n in (index, index + 1))
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
    model = _sliding_window(network, header.preprocessing, device, precision)
    if window_batch:
        model = replace(model, window_batch=window_batch)
    if compiled:
        model = replace(model, network=compile_network(model.network, device), constant=True)
    return model, header


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
        WINDOW_BATCH.get(device.type, WINDOW_BATCH_ELSEWHERE),
        map_side=network.backbone.map_side,
    )

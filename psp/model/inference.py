"""Class probabilities of a picture at its own size: the one place that computes them.

Resize to the base size and scale, cut into windows, mirror, softmax, average: the authors' test
procedures and those of others (windows.py says where windows lie, procedures/ what differs).
Validation while training, evaluation and prediction all come here, so they agree by construction.

The result is computed tile by tile. A window's logits are kept at 1/8 of its size from the first
tile that needs them to the last; a tile upsamples the few rows it needs by two small matrices, with
the classes of a pixel side by side, so that they pass through the processor's cache once. Neither
the scaled picture nor the result's probabilities exist as a whole unless they are asked for.
"""

import math
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
from psp.events import WINDOWS, Progress, ignore
from psp.images.resize import resize_bilinear
from psp.model.backbones.backbone import Backbone
from psp.model.constants import taken
from psp.model.fold import fold
from psp.model.merge import mean, upsampled
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import Procedure
from psp.model.pspnet import Logits, PSPNet
from psp.model.resample import resample, upsampling
from psp.model.weights import Header, load_network
from psp.model.windows import ScaledView, Window, scaled_views, windows

# Numbers (float32) in a tile of the result: on a CPU so few that it stays in the cache, on a GPU
# enough to keep it busy. A tile has all the columns, or TILE_ROWS rows and as many as that leaves.
TILE = {"cpu": 1 << 20}
TILE_ELSEWHERE = 1 << 26
TILE_ROWS = 8
# Windows that go through the network together, mirrored ones counted. On a CPU more are slower:
# the C library returns such large maps to the system after each layer and must ask for them again.
WINDOW_BATCH = {"cpu": 2}
WINDOW_BATCH_ELSEWHERE = 16
# Pixels that go through the network together at most: windows that are larger come one by one.
MOST_TOGETHER = 1 << 25
# Numbers in the logits that are kept (1 GB): a picture that needs more is done strip by strip.
KEPT = 1 << 28
MANY = 30  # windows of a picture from which on its progress is reported


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
    report: Callable[[Progress], None] = ignore  # gets windows done, of large pictures

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
        procedure.check_sides(self.align_corners)
        views = scaled_views((height, width), procedure, align_corners=self.align_corners)
        pictures = self._pictures(image, views, procedure)
        twice = procedure.flip and procedure.rules.mirrors == "window"  # a window's views
        averaged = 2 if twice and not procedure.rules.sums else 1
        tile = TILE.get(self.device.type, TILE_ELSEWHERE) // self.classes  # pixels
        strips = [
            (strip, deque(windows(views, strip)))
            for strip in _pieces(slice(0, width), self._strip(views, 1 + twice))
        ]
        count, done = sum(len(waiting) for _, waiting in strips), 0
        for strip, waiting in strips:
            high = max(tile // (strip.stop - strip.start), TILE_ROWS)
            logits: dict[Window, Tensor] = {}
            for rows in _pieces(slice(0, height), high):
                while waiting and waiting[0].first < rows.stop:
                    group = self._group(waiting, views, 1 + twice)
                    images = [self._window(pictures[w.view], views[w.view], w) for w in group]
                    new = self._logits(torch.stack(images), twice, procedure)
                    logits |= zip(group, new, strict=True)
                    done += len(group)
                    if count >= MANY:
                        self.report(Progress(done, count, WINDOWS))
                for columns in _pieces(strip, max(1, tile // high)):
                    total = self._tile(views[0], 0, rows, columns, logits, procedure)
                    for index, view in enumerate(views[1:], start=1):
                        total += self._tile(view, index, rows, columns, logits, procedure)
                    yield rows, columns, total.div_(len(views) * averaged)
                logits = {key: value for key, value in logits.items() if key.last >= rows.stop}

    def _pictures(
        self, image: NDArray[np.uint8], views: Sequence[ScaledView], procedure: Procedure
    ) -> list[Tensor]:
        """Return the pixels that each view is made from, uint8 (h, w, 3) on the device."""
        library = procedure.rules.resized
        if library is None:
            own = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
            return [own] * len(views)
        pictures = []
        for view in views:
            size = view.rows.length, view.columns.length
            pixels = resize_bilinear(image, size, library)[:, :: -1 if view.mirrored else 1]
            pictures.append(torch.from_numpy(pixels.copy()).to(self.device))
        return pictures

    def _group(
        self, waiting: deque[Window], views: Sequence[ScaledView], passes: int
    ) -> list[Window]:
        """Take the next windows that go through the network together: all of the same size."""
        group = [waiting.popleft()]
        sides = views[group[0].view].sides
        most = min(self.window_batch, MOST_TOGETHER // (sides[0] * sides[1]))
        together = max(1, most // passes)
        while waiting and len(group) < together and views[waiting[0].view].sides == sides:
            group.append(waiting.popleft())
        return group

    def _strip(self, views: Sequence[ScaledView], passes: int) -> int:
        """Return how many columns are computed at a time, so that their logits fit `KEPT`."""
        densest = 0.0
        for down, across, _ in views:
            window = passes * self.map_side(down.side) * self.map_side(across.side) * self.classes
            overlap, meet = across.overlap, math.ceil(down.overlap) + 1  # rows of windows that meet
            densest += across.length * meet * overlap / across.crop * window
        width = len(views[0].columns.back.source)
        return max(*(view.columns.crop for view in views), int(width * KEPT / densest))

    def _logits(self, images: Tensor, twice: bool, procedure: Procedure) -> list[Tensor]:
        """Return each window's logits, float32 (1 or 2, h, w, classes): plain, and mirrored.

        The mirrored ones are flipped back. A procedure that `sums` has their sum instead.
        """
        if twice:
            images = torch.cat([images, images.flip(3)])  # (B, 3, height, width)
        count = len(images)
        if self.constant and count < self.window_batch and procedure.window is not None:
            images = F.pad(images, (0, 0) * 3 + (0, self.window_batch - count))
        images = images.to(self.precision).contiguous(memory_format=torch.channels_last)
        with _exact(self.device, self.precision):
            logits = self.network(images).main[:count]
        logits = logits.float().permute(0, 2, 3, 1).contiguous()  # (B, h, w, classes)
        if not twice:
            return list(logits[:, None])
        plain, mirrored = logits.chunk(2)
        if procedure.rules.sums:
            return list((plain + mirrored.flip(2))[:, None])
        return list(torch.stack([plain, mirrored.flip(2)], dim=1))

    def _window(self, pixels: Tensor, view: ScaledView, window: Window) -> Tensor:
        """Return the network's input for a window, float32 (3, height, width), padded with 0."""
        down, across = view.rows, view.columns
        rows, columns = down.inside(window.top), across.inside(window.left)
        source = across.into.source[columns]
        first, last = int(source.min()), int(source.max())
        part = resample(pixels[:, first : last + 1], 0, down.into.part(rows))
        part = resample(part, 1, across.into.part(columns).moved(-first))  # (rows, columns, 3)
        padded = torch.zeros(3, *view.sides, device=self.device)
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
        procedure: Procedure,
    ) -> Tensor:
        """Return probabilities of one view for a part of the result: (rows, columns, classes).

        They are summed over a window and its mirrored copy.
        """
        down, across = view.rows, view.columns
        y, row_taps = down.needed(rows)
        x, column_taps = across.needed(columns)
        late = procedure.rules.averages == "logits"  # which become probabilities at the end
        parts, weights = [], []
        for window, coarse in logits.items():
            here = window.view == index and down.covers(y, window.top)
            if here and across.covers(x, window.left):
                covered = down.covered(y, window.top), across.covered(x, window.left)
                up = taken(self._up(coarse.shape[1], down.crop), y[covered[0]] - window.top)
                over = taken(self._up(coarse.shape[2], across.crop), x[covered[1]] - window.left)
                parts.append((covered, upsampled(coarse, up, over, probabilities=not late)))
                if down.taper:
                    lines = down.weights(y, window.top), across.weights(x, window.left)
                    weights.append((lines[0][covered[0]], lines[1][covered[1]]))
        total = mean(parts, weights, (down.totals(y), across.totals(x)))
        total = resample(resample(total, 0, row_taps), 1, column_taps)
        return total.softmax(2) if late else total

    def _up(self, length: int, crop: int) -> Tensor:
        """Return the matrix that upsamples logits to a window's side, (crop, length)."""
        return upsampling(length, crop, align_corners=self.align_corners, device=self.device)


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

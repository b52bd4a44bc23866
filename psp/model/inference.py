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
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from psp.device import convolutions
from psp.errors import PspError
from psp.events import WINDOWS, Progress, ignore
from psp.model.backbones.backbone import Backbone
from psp.model.constants import taken
from psp.model.cut import view_pixels, window_input
from psp.model.fold import fold
from psp.model.merge import mean, selected, upsampled
from psp.model.preprocessing import Preprocessing
from psp.model.procedure import Procedure
from psp.model.pspnet import Logits, PSPNet
from psp.model.resample import resample, upsampling
from psp.model.windows import ScaledView, Window, pieces, scaled_views, windows

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


Tile = tuple[slice, slice, Tensor]  # rows, columns, probabilities (rows, columns, classes)
Steps = Generator[Tensor | Tile, list[Tensor] | None, None]


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
    votes: bool = False  # the network gives the most probable class alone: no probabilities

    @torch.inference_mode()
    def label_map(self, image: NDArray[np.uint8], procedure: Procedure) -> Tensor:
        """Return the most probable class ids, uint8 (H, W), on the device, for uint8 (H, W, 3) RGB.

        They are exactly the argmax of `probabilities`, but computed in bounded memory.
        """
        return self.labels_of(self.tiles(image, procedure), image)

    def labels_of(self, tiles: Iterable[Tile], image: NDArray[np.uint8]) -> Tensor:
        """Return the label map of a picture's tiles, as `label_map` does."""
        labels = torch.empty(image.shape[:2], dtype=torch.uint8, device=self.device)
        for rows, columns, probabilities in tiles:
            labels[rows, columns] = probabilities.argmax(2)
        return labels

    @torch.inference_mode()
    def confident_label_map(
        self, image: NDArray[np.uint8], procedure: Procedure
    ) -> tuple[Tensor, Tensor]:
        """Return the label map as `label_map`, and each label's probability, float32 (H, W).

        Raises PspError for a network that gives class ids alone.
        """
        self._check_probabilities()
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
        self._check_probabilities()
        result = torch.empty(*image.shape[:2], self.classes, device=self.device)
        for rows, columns, probabilities in self.tiles(image, procedure):
            result[rows, columns] = probabilities
        return result.permute(2, 0, 1)

    def _check_probabilities(self) -> None:
        if self.votes:
            raise PspError(
                "this ONNX file gives class ids, so nothing is known of probabilities. Export it "
                "without --include argmax, or leave out what needs them"
            )

    def tiles(self, image: NDArray[np.uint8], procedure: Procedure) -> Iterator[Tile]:
        """Yield probabilities (rows, columns, classes) of parts of the picture, topmost first."""
        return self.tiles_of(self.steps(image, procedure), procedure)

    def tiles_of(
        self, steps: Steps, procedure: Procedure, given: list[Tensor] | None = None
    ) -> Iterator[Tile]:
        """Yield the tiles of a picture's `steps`; `given` are the logits that they wait for."""
        with suppress(StopIteration):
            while True:
                step = steps.send(given)
                given = None
                if isinstance(step, Tensor):
                    given = self.logits(step, procedure)
                else:
                    yield step

    def steps(self, image: NDArray[np.uint8], procedure: Procedure) -> Steps:
        """Yield windows, float32 (B, 3, H, W), whose `logits` are sent back, and tiles.

        So that whoever has several pictures can let their windows go through the network together.
        """
        height, width = image.shape[:2]
        procedure.check_sides(self.align_corners)
        views = scaled_views((height, width), procedure, align_corners=self.align_corners)
        pictures = view_pixels(image, views, procedure, self.device)
        twice = procedure.mirrors_windows  # a window has two views
        averaged = 2 if twice and not procedure.rules.sums else 1
        tile = TILE.get(self.device.type, TILE_ELSEWHERE) // self.classes  # pixels
        strips = [
            (strip, deque(windows(views, strip)))
            for strip in pieces(slice(0, width), self._strip(views, 1 + twice))
        ]
        count, done = sum(len(waiting) for _, waiting in strips), 0
        for strip, waiting in strips:
            high = max(tile // (strip.stop - strip.start), TILE_ROWS)
            logits: dict[Window, Tensor] = {}
            for rows in pieces(slice(0, height), high):
                while waiting and waiting[0].first < rows.stop:
                    group = self._group(waiting, views, 1 + twice)
                    images = [
                        window_input(pictures[w.view], views[w.view], w, self.preprocessing)
                        for w in group
                    ]
                    new = yield torch.stack(images)
                    assert new is not None
                    logits |= zip(group, new, strict=True)
                    done += len(group)
                    if count >= MANY:
                        self.report(Progress(done, count, WINDOWS))
                for columns in pieces(strip, max(1, tile // high)):
                    total = self._tile(views[0], 0, rows, columns, logits, procedure)
                    for index, view in enumerate(views[1:], start=1):
                        total += self._tile(view, index, rows, columns, logits, procedure)
                    yield rows, columns, total.div_(len(views) * averaged)
                logits = {key: value for key, value in logits.items() if key.last >= rows.stop}

    def _group(
        self, waiting: deque[Window], views: Sequence[ScaledView], passes: int
    ) -> list[Window]:
        """Take the next windows that go through the network together: all of the same size."""
        group = [waiting.popleft()]
        sides = views[group[0].view].sides
        together = self.together(sides, passes)
        while waiting and len(group) < together and views[waiting[0].view].sides == sides:
            group.append(waiting.popleft())
        return group

    def together(self, sides: tuple[int, int], passes: int) -> int:
        """Return how many windows of a height and width go through the network at a time."""
        most = min(self.window_batch, MOST_TOGETHER // (sides[0] * sides[1]))
        return max(1, most // passes)

    def _strip(self, views: Sequence[ScaledView], passes: int) -> int:
        """Return how many columns are computed at a time, so that their logits fit `KEPT`."""
        densest = 0.0
        for down, across, _ in views:
            window = passes * self.map_side(down.side) * self.map_side(across.side) * self.classes
            overlap, meet = across.overlap, math.ceil(down.overlap) + 1  # rows of windows that meet
            densest += across.length * meet * overlap / across.crop * window
        width = len(views[0].columns.back.source)
        return max(*(view.columns.crop for view in views), int(width * KEPT / densest))

    def logits(self, images: Tensor, procedure: Procedure) -> list[Tensor]:
        """Return each window's logits, float32 (1 or 2, h, w, classes): plain, and mirrored.

        The mirrored ones are flipped back. A procedure that `sums` has their sum instead.
        """
        twice = procedure.mirrors_windows
        if twice:
            images = torch.cat([images, images.flip(3)])  # (B, 3, height, width)
        count = len(images)
        if self.constant and count < self.window_batch and procedure.window is not None:
            images = F.pad(images, (0, 0) * 3 + (0, self.window_batch - count))
        images = images.to(self.precision).contiguous(memory_format=torch.channels_last)
        with convolutions(self.device, self.precision, repeats=procedure.window is not None):
            logits = self.network(images).main[:count]
        logits = logits.float().permute(0, 2, 3, 1).contiguous()  # (B, h, w, classes)
        if not twice:
            return list(logits[:, None])
        plain, mirrored = logits.chunk(2)
        if procedure.rules.sums:
            return list((plain + mirrored.flip(2))[:, None])
        return list(torch.stack([plain, mirrored.flip(2)], dim=1))

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
                lines = y[covered[0]] - window.top, x[covered[1]] - window.left
                parts.append((covered, self._scores(coarse, view, lines, not late)))
                if down.taper:
                    counts = down.weights(y, window.top), across.weights(x, window.left)
                    weights.append((counts[0][covered[0]], counts[1][covered[1]]))
        total = mean(parts, weights, (down.totals(y), across.totals(x)))
        total = resample(resample(total, 0, row_taps), 1, column_taps)
        return total.softmax(2) if late else total

    def _scores(
        self,
        coarse: Tensor,
        view: ScaledView,
        lines: tuple[NDArray[np.int64], NDArray[np.int64]],
        probabilities: bool,
    ) -> Tensor:
        """Return some rows and columns of a window's logits at its own size, or of their softmax.

        An ONNX file may give logits that have this size already.
        """
        sides = view.rows.crop, view.columns.crop
        if coarse.shape[1:3] == sides:
            return selected(coarse, *lines, probabilities=probabilities)
        up, over = (
            taken(self._up(length, side), some)
            for length, side, some in zip(coarse.shape[1:3], sides, lines, strict=True)
        )
        return upsampled(coarse, up, over, probabilities=probabilities)

    def _up(self, length: int, crop: int) -> Tensor:
        """Return the matrix that upsamples logits to a window's side, (crop, length)."""
        return upsampling(length, crop, align_corners=self.align_corners, device=self.device)


def sliding_window(
    network: PSPNet, preprocessing: Preprocessing, device: torch.device, precision: torch.dtype
) -> SlidingWindow:
    """Return a SlidingWindow of a network as it is now; the network itself stays as it is."""
    folded = fold(deepcopy(network), precision).to(device)
    return folded_window(folded, preprocessing, device, precision)


def folded_window(
    network: PSPNet, preprocessing: Preprocessing, device: torch.device, precision: torch.dtype
) -> SlidingWindow:
    """Return a SlidingWindow of a network on the device, folded to `precision` already."""
    spec = network.spec
    return SlidingWindow(
        network,
        spec.classes,
        preprocessing,
        device,
        precision,
        spec.align_corners,
        WINDOW_BATCH.get(device.type, WINDOW_BATCH_ELSEWHERE),
        map_side=network.backbone.map_side,
    )

"""Class probabilities of a picture at its own size: the one place that knows how.

Resize to the base size and scale, cut into windows at a stride of two thirds, mirror, softmax,
average: the authors' test procedures (`psp.views` says where they lie). Validation while training,
evaluation and prediction all come here, so they agree by construction.

The result is made tile by tile. A window's scores stay at 1/8 of its size from when the first tile
needs it until the last one did; a tile upsamples the few rows it needs by two small matrices, with
the classes of a pixel side by side, so that they pass through the processor's cache once. Neither
the scaled picture nor the result's probabilities ever exist as a whole unless they are asked for.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psp.config import nearest_crops
from psp.errors import PspError
from psp.model import Logits, PSPNet, fold
from psp.preprocessing import Preprocessing
from psp.resample import resample, upsampling
from psp.views import WAYS, View, Window, see, windows
from psp.weights import Header, load_network

PAPER_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)

# Numbers (float32) that a band of the result's rows may have: on a CPU a few rows that stay in its
# cache, on a GPU enough to keep it busy. At least BAND_ROWS unless that is too much memory.
BAND = {"cpu": 1 << 20}
BAND_ELSEWHERE = 1 << 26
BAND_ROWS = 8
KEPT = (
    1 << 28
)  # numbers of scores that may be kept at a time: 1 GB; a wide picture is cut in strips


@dataclass(frozen=True)
class Protocol:
    """How pictures are seen. `base_size` is the long side at scale 1; None leaves it as it is.

    `way` is which of the authors' two procedures: in `torch` the probabilities of the mirrored
    views are averaged, in `caffe` their logits are summed; psp.views has the other differences.
    """

    crop: int
    base_size: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    way: str = "torch"

    def __post_init__(self) -> None:
        for name, value in (("crop", self.crop), ("base-size", self.base_size)):
            if value is not None and type(value) is not int:
                raise PspError(f"--{name} {value!r}: a whole number.")
        if not all(isinstance(scale, (int, float)) for scale in self.scales):
            raise PspError(f"--scales {self.scales}: numbers between 0.05 and 10.")
        if self.crop > 4097:
            raise PspError(f"--crop {self.crop}: 4097 at most.")
        if self.crop < 9 or self.crop % 8 != 1:
            near = " or ".join(map(str, nearest_crops(self.crop)))
            raise PspError(f"--crop {self.crop}: a window must be 8n+1. Nearest good ones: {near}.")
        if not self.scales or not all(0.05 <= scale <= 10 for scale in self.scales):
            raise PspError(f"--scales {self.scales}: numbers between 0.05 and 10.")
        if self.base_size is not None and not 1 <= self.base_size <= 32768:
            raise PspError(f"--base-size {self.base_size}: 1 to 32768.")
        if self.way not in WAYS:
            raise PspError(f"--protocol {self.way}: one of {', '.join(WAYS)}.")

    @property
    def name(self) -> str:
        """A short name for files: ss, ss-flip, ms-flip, ms-flip-caffe, …"""
        scales = {(1.0,): "ss", PAPER_SCALES: "ms"}.get(
            self.scales, "s" + "_".join(f"{scale:g}" for scale in self.scales)
        )
        return scales + "-flip" * self.flip + "-caffe" * (self.way == "caffe")

    @property
    def description(self) -> str:
        """One line for people."""
        scales = {(1.0,): "single scale", PAPER_SCALES: "the paper's six scales"}.get(
            self.scales, "scales " + ", ".join(f"{scale:g}" for scale in self.scales)
        )
        size = f"long side {self.base_size}" if self.base_size else "pictures at their own size"
        flip = "with flip" if self.flip else "without flip"
        way = " · the Caffe release's procedure" if self.way == "caffe" else ""
        return f"{scales} {flip} · windows of {self.crop} · {size}{way}"


@dataclass(frozen=True)
class Segmenter:
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
    window_batch: int = 4
    constant: bool = False

    @torch.inference_mode()
    def label_map(self, image: NDArray[np.uint8], protocol: Protocol) -> Tensor:
        """Return the most probable class ids, uint8 (H, W), on the device, for uint8 (H, W, 3) RGB.

        They are the argmax of `probabilities`, exactly, but in memory that stays bounded.
        """
        labels = torch.empty(image.shape[:2], dtype=torch.uint8, device=self.device)
        for rows, columns, found in self._tiles(image, protocol):
            labels[rows, columns] = found.argmax(2)
        return labels

    @torch.inference_mode()
    def probabilities(self, image: NDArray[np.uint8], protocol: Protocol) -> Tensor:
        """Return float32 (classes, H, W), summing to 1 over classes, for a uint8 (H, W, 3) RGB.

        In memory the classes of a pixel lie side by side.
        """
        whole = torch.empty(*image.shape[:2], self.classes, device=self.device)
        for rows, columns, found in self._tiles(image, protocol):
            whole[rows, columns] = found
        return whole.permute(2, 0, 1)

    def _tiles(
        self, image: NDArray[np.uint8], protocol: Protocol
    ) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield probabilities (rows, columns, classes) of the picture, a band of rows at a time."""
        height, width = image.shape[:2]
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        views = [
            see(
                (height, width), scale,
                crop=protocol.crop, base_size=protocol.base_size, way=protocol.way,
            )
            for scale in protocol.scales
        ]  # fmt: skip
        for columns in _pieces(width, self._strip(views, protocol)):
            waiting = deque(windows(views, columns))
            scores: dict[Window, Tensor] = {}
            for rows in _pieces(height, self._band(columns.stop - columns.start)):
                while waiting and waiting[0].first < rows.stop:
                    together = max(1, self.window_batch // (1 + protocol.flip))
                    group = [waiting.popleft() for _ in range(min(together, len(waiting)))]
                    found = self._scores(pixels, views, group, protocol)
                    scores |= zip(group, found, strict=True)
                total = self._tile(views[0], 0, rows, columns, scores)
                for number, view in enumerate(views[1:], start=1):
                    total += self._tile(view, number, rows, columns, scores)
                yield rows, columns, total.div_(len(views))
                scores = {key: value for key, value in scores.items() if key.last >= rows.stop}

    def _strip(self, views: Sequence[View], protocol: Protocol) -> int:
        """Return how many columns of the result are made at a time, so that scores fit `KEPT`."""
        side = -(-protocol.crop // 8)
        window = (1 + protocol.flip) * side * side * self.classes
        # Up to three rows of windows meet, and windows are two thirds of their side apart.
        densest = sum(view.columns.length for view in views) * 3 * 1.5 / protocol.crop * window
        width = len(views[0].columns.back.source)
        return max(protocol.crop, int(width * KEPT / densest))

    def _band(self, columns: int) -> int:
        """Return how many rows of the result are made at a time."""
        row = columns * self.classes
        fit = BAND.get(self.device.type, BAND_ELSEWHERE) // row
        return max(fit, min(BAND_ROWS, BAND_ELSEWHERE // row), 1)

    def _scores(
        self,
        pixels: Tensor,
        views: Sequence[View],
        group: Sequence[Window],
        protocol: Protocol,
    ) -> list[Tensor]:
        """Return each window's logits, float32 (1 or 2, h, w, classes): as seen, and mirrored.

        The mirrored ones are turned back. Their sum alone is there the Caffe way.
        """
        images = torch.stack([self._window(pixels, views[one.view], one) for one in group])
        if protocol.flip:
            images = torch.cat([images, images.flip(3)])  # (B, 3, crop, crop)
        count = len(images)
        if self.constant and count < self.window_batch:
            images = torch.cat(
                [images, images.new_zeros(self.window_batch - count, *images.shape[1:])]
            )
        images = images.to(self.precision).contiguous(memory_format=torch.channels_last)
        logits = self.network(images).main[:count].float().permute(0, 2, 3, 1)  # (B, h, w, classes)
        if not protocol.flip:
            return list(logits.contiguous()[:, None])
        seen, mirrored = logits.chunk(2)
        if protocol.way == "caffe":
            return list((seen + mirrored.flip(2))[:, None])
        return list(torch.stack([seen, mirrored.flip(2)], dim=1))

    def _window(self, pixels: Tensor, view: View, window: Window) -> Tensor:
        """Return a window as the network sees it, float32 (3, crop, crop), padded with 0."""
        (down, across), crop = view, view.rows.crop
        rows, columns = down.inside(window.top), across.inside(window.left)
        into = across.into.source[columns]
        first, last = int(into.min()), int(into.max())
        part = resample(pixels[:, first : last + 1], 0, down.into.part(rows))
        part = resample(part, 1, across.into.part(columns).moved(-first))
        padded = torch.zeros(3, crop, crop, device=self.device)
        top, left = (
            rows.start + down.before - window.top,
            columns.start + across.before - window.left,
        )
        padded[:, top : top + len(part), left : left + part.shape[1]] = self.preprocessing(
            part[None]
        )[0]
        return padded

    def _tile(
        self, view: View, number: int, rows: slice, columns: slice, scores: dict[Window, Tensor]
    ) -> Tensor:
        """Return what one view gives for a part of the result: (rows, columns, classes)."""
        down, across = view
        y, row_taps = down.needed(rows)
        x, column_taps = across.needed(columns)
        parts = []
        for window, found in scores.items():
            if window.view == number:
                place = down.covered(y, window.top), across.covered(x, window.left)
                if all(side.start < side.stop for side in place):
                    up = self._spread(found.shape[1], y[place[0]] - window.top, down.crop)
                    over = self._spread(found.shape[2], x[place[1]] - window.left, across.crop)
                    parts.append((place, _probabilities(found, up, over)))
        total = _mean(parts, down.counts(y), across.counts(x))
        return resample(resample(total, 0, row_taps), 1, column_taps)

    def _spread(self, length: int, positions: NDArray[np.int64], crop: int) -> Tensor:
        """Return the rows of the upsampling matrix at some positions of a window, (n, length)."""
        matrix = _upsampling(length, crop, self.align_corners, self.device)
        return matrix[torch.from_numpy(positions).to(self.device)]


def _probabilities(scores: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Upsample logits (V, h, w, classes) by (H, h) and (W, w) matrices; the mean of their softmax.

    Returns (H, W, classes).
    """
    views, h, w, classes = scores.shape
    rows = (down @ scores.view(views, h, w * classes)).view(views * len(down), w, classes)
    found = (across @ rows).softmax(2)  # (V * H, W, classes)
    if views == 1:
        return found
    seen, mirrored = found.chunk(2)
    return seen.add_(mirrored).div_(2)


def _mean(
    parts: Sequence[tuple[tuple[slice, slice], Tensor]],
    row_counts: NDArray[np.float32],
    column_counts: NDArray[np.float32],
) -> Tensor:
    """Average (rows, columns, classes) parts in their places; so many lie over each row, column."""
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


_upsampling = lru_cache(8)(
    lambda length, wanted, corners, device: upsampling(
        length, wanted, align_corners=corners, device=device
    )
)


def _pieces(length: int, size: int) -> Iterator[slice]:
    """Cut an axis into pieces of almost equal length, `size` at most."""
    count = -(-length // size)
    for number in range(count):
        yield slice(length * number // count, length * (number + 1) // count)


def segmenter(
    network: PSPNet, preprocessing: Preprocessing, device: torch.device, precision: torch.dtype
) -> Segmenter:
    """Return a Segmenter of a network as it is now; the network itself stays what it is."""
    return _segmenter(deepcopy(network), preprocessing, device, precision)


def load_segmenter(
    path: Path, device: torch.device, precision: torch.dtype
) -> tuple[Segmenter, Header]:
    """Load a weights file onto a device, ready to run, with its header."""
    network, header = load_network(path)
    return _segmenter(network, header.preprocessing, device, precision), header


def _segmenter(
    network: PSPNet, preprocessing: Preprocessing, device: torch.device, precision: torch.dtype
) -> Segmenter:
    spec = network.spec
    ready = fold(network, precision).to(device)
    return Segmenter(ready, spec.classes, preprocessing, device, precision, spec.align_corners)

"""Class probabilities of a picture at its own size: the one place that knows how.

Resize to the base size and scale, cut into windows at a stride of two thirds, mirror, softmax,
average: the authors' test procedure (semseg tool/test.py). Validation while training, evaluation
and prediction all come here, so they agree by construction.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from psp.config import nearest_crops
from psp.device import autocast
from psp.errors import PspError
from psp.model import Logits, PSPNet, upsample
from psp.preprocessing import Preprocessing
from psp.weights import Header, load_network

PAPER_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
WINDOW_BATCH = 4  # windows that go through the network at a time; mirrored ones count


@dataclass(frozen=True)
class Protocol:
    """How pictures are seen. `base_size` is the long side at scale 1; None leaves it as it is."""

    crop: int
    base_size: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

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

    @property
    def name(self) -> str:
        """A short name for files: ss, ss-flip, ms-flip, …"""
        scales = {(1.0,): "ss", PAPER_SCALES: "ms"}.get(
            self.scales, "s" + "_".join(f"{scale:g}" for scale in self.scales)
        )
        return scales + ("-flip" if self.flip else "")

    @property
    def description(self) -> str:
        """One line for people."""
        scales = {(1.0,): "single scale", PAPER_SCALES: "the paper's six scales"}.get(
            self.scales, "scales " + ", ".join(f"{scale:g}" for scale in self.scales)
        )
        size = f"long side {self.base_size}" if self.base_size else "pictures at their own size"
        return (
            f"{scales} {'with' if self.flip else 'without'} flip · windows of {self.crop} · {size}"
        )


@dataclass(frozen=True)
class Segmenter:
    """A network with all that is needed to run it on pictures."""

    network: Callable[[Tensor], Logits]
    classes: int
    preprocessing: Preprocessing
    device: torch.device
    precision: torch.dtype = torch.float32
    align_corners: bool = True

    @torch.inference_mode()
    def label_map(self, image: NDArray[np.uint8], protocol: Protocol) -> Tensor:
        """Return the most probable class ids, uint8 (H, W), on the device."""
        return self.probabilities(image, protocol).argmax(0).to(torch.uint8)

    @torch.inference_mode()
    def probabilities(self, image: NDArray[np.uint8], protocol: Protocol) -> Tensor:
        """Return float32 (classes, H, W), summing to 1 over classes, for a uint8 (H, W, 3) RGB."""
        height, width = image.shape[:2]
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        picture = self.preprocessing(pixels[None])  # (1, 3, H, W)
        total = torch.zeros(self.classes, height, width, device=self.device)
        for scale in protocol.scales:
            size = _scaled(height, width, scale, protocol.base_size)
            scaled = _resize(picture, size)
            total += _resize(self._windows(scaled, protocol), (height, width))[0]
        return total / len(protocol.scales)

    def _windows(self, picture: Tensor, protocol: Protocol) -> Tensor:
        """Return probabilities (1, classes, h, w) of a normalized picture (1, 3, h, w)."""
        height, width = picture.shape[2:]
        crop = protocol.crop
        down, right = max(crop - height, 0), max(crop - width, 0)
        top, left = down // 2, right // 2
        # Normalized pixels: padding with 0 is padding with the mean.
        padded = F.pad(picture, (left, right - left, top, down - top))
        full_height, full_width = padded.shape[2:]
        total = torch.zeros(1, self.classes, full_height, full_width, device=self.device)
        count = torch.zeros(full_height, full_width, device=self.device)
        places = list(product(_starts(full_height, crop), _starts(full_width, crop)))
        together = max(1, WINDOW_BATCH // (1 + protocol.flip))
        for first in range(0, len(places), together):
            group = places[first : first + together]
            windows = torch.cat([padded[:, :, y : y + crop, x : x + crop] for y, x in group])
            found = self._window_probabilities(windows, protocol.flip)
            for (y, x), part in zip(group, found, strict=True):
                total[0, :, y : y + crop, x : x + crop] += part
                count[y : y + crop, x : x + crop] += 1
        total /= count
        return total[:, :, top : top + height, left : left + width]

    def _window_probabilities(self, windows: Tensor, flip: bool) -> Tensor:
        """Return (B, classes, crop, crop) float32; `flip` averages the mirrored view's."""
        views = torch.cat([windows, windows.flip(3)]) if flip else windows
        views = views.contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.precision):
            logits = self.network(views).main
        crop = (windows.shape[2], windows.shape[3])
        found = upsample(logits.float(), crop, align_corners=self.align_corners).softmax(1)
        if not flip:
            return found
        straight, mirrored = found.chunk(2)
        return (straight + mirrored.flip(3)) / 2


def segmenter(
    network: PSPNet, preprocessing: Preprocessing, device: torch.device, precision: torch.dtype
) -> Segmenter:
    """Return a Segmenter of a network that is on `device` and in evaluation mode."""
    spec = network.spec
    return Segmenter(network, spec.classes, preprocessing, device, precision, spec.align_corners)


def load_segmenter(
    path: Path, device: torch.device, precision: torch.dtype
) -> tuple[Segmenter, Header]:
    """Load a weights file onto a device, ready to run, with its header."""
    network, header = load_network(path)
    # torch's type stubs lack this form of to().
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return segmenter(network, header.preprocessing, device, precision), header


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (1, C, h, w) bilinearly, pixel centers at halves, as cv2.resize does on floats."""
    if (maps.shape[2], maps.shape[3]) == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def _scaled(height: int, width: int, scale: float, base_size: int | None) -> tuple[int, int]:
    """Return the size at a scale: the long side is round(scale * base), the other in proportion."""
    longest = max(height, width)
    long = max(1, round(scale * (base_size or longest)))
    short = max(1, round(long / longest * min(height, width)))
    return (long, short) if height > width else (short, long)


def _starts(length: int, crop: int) -> Iterator[int]:
    """Yield where windows start along an axis: stride ceil(2/3 crop), the last at the border."""
    stride = math.ceil(crop * 2 / 3)
    for number in range(math.ceil((length - crop) / stride) + 1):
        yield min(number * stride, length - crop)

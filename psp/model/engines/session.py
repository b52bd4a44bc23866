"""An ONNX graph in a runtime, from normalized windows to logits, whatever it takes and gives.

The graph takes normalized float32 (batch, 3, H, W), or the pixels, uint8 (batch, H, W, 3) or
(batch, 3, H, W). It gives logits (batch, classes, h, w), or class ids (batch, H, W). Each of its
sides may be fixed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from psp.errors import PspError
from psp.model.pspnet import Logits
from psp.model.weights import Header

# Logits of the class that a graph names, beside 0 of the others: the softmax is 1.
VOTE = 50.0
IDS = ("uint8", "int32", "int64")


@dataclass(frozen=True)
class Port:
    """An input or output of a graph: numpy's name of its type, and its sides, None where free."""

    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Session:
    """A graph with one input and one output that is ready to run, in any number of threads."""

    run: Callable[[NDArray[np.generic]], NDArray[np.generic]]
    input: Port
    output: Port
    runtime: str  # its name, version, and what it computes on


Open = Callable[[bytes, torch.device, torch.dtype], Session]


class SessionNetwork:
    """A session as a network. Raises PspError for one that is not of the header's kind."""

    def __init__(self, session: Session, header: Header, where: str) -> None:
        self.session, self.header, self.where = session, header, where
        taken, given = session.input, session.output
        self.pixels = taken.dtype == "uint8"
        self.last = self.pixels and len(taken.shape) == 4 and taken.shape[3] == 3
        images = len(taken.shape) == 4 and taken.shape[3 if self.last else 1] in (3, None)
        if not images or taken.dtype not in ("float32", "uint8"):
            raise PspError(
                f"{where}: its input is {_port(taken)}, and must be float32 (batch, 3, H, W) or "
                f"uint8 (batch, H, W, 3). {_AGAIN}"
            )
        self.votes = given.dtype in IDS and len(given.shape) == 3
        logits = given.dtype == "float32" and len(given.shape) == 4
        if not self.votes and not (logits and given.shape[1] in (len(header.classes), None)):
            raise PspError(
                f"{where}: its output is {_port(given)}, and must be logits, float32 (batch, "
                f"{len(header.classes)}, h, w), or class ids (batch, H, W). {_AGAIN}"
            )

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """The height and width of windows; None where any will do."""
        height, width = self.session.input.shape[1:3] if self.last else self.session.input.shape[2:]
        return height, width

    def map_side(self, side: int) -> int:
        """Return the side of the logits for a window's side."""
        taken, given = self.sides, self.session.output.shape[-2:]
        known = {a: b for a, b in zip(taken, given, strict=True) if a and b}
        return known.get(side, side)

    def __call__(self, images: Tensor) -> Logits:
        """Map normalized windows, float32 (B, 3, H, W), to logits on the same device."""
        height, width = images.shape[2:]
        if any(a not in (None, b) for a, b in zip(self.sides, (height, width), strict=True)):
            raise PspError(
                f"{self.where}: takes windows of {_size(self.sides)} alone, not {width}x{height}."
            )
        count, most = len(images), self.session.input.shape[0] or len(images)
        array = self._input(images)
        parts = []
        for first in range(0, count, most):
            part = array[first : first + most]
            missing = most - len(part)
            if missing:
                part = np.concatenate([part, np.zeros_like(part, shape=(missing, *part.shape[1:]))])
            parts.append(self.session.run(part)[: most - missing])
        given = torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts))
        given = given.to(images.device)
        if self.votes:
            classes = len(self.header.classes)
            given = F.one_hot(given.long(), classes).permute(0, 3, 1, 2).float() * VOTE
        return Logits(given, None)

    def _input(self, images: Tensor) -> NDArray[np.generic]:
        """Return what the graph takes; pixels are what normalization made of them."""
        if self.pixels:
            images = self.header.preprocessing.undone(images)
        if self.last:
            images = images.permute(0, 2, 3, 1)
        array: NDArray[np.generic] = images.contiguous().cpu().numpy()
        return array


_AGAIN = "Write it again with: psp export MODEL OUT.onnx"


def _size(sides: tuple[int | None, int | None]) -> str:
    height, width = ("any" if side is None else side for side in sides)
    return f"{width}x{height}"


def _port(port: Port) -> str:
    return f"{port.dtype} ({', '.join('free' if s is None else str(s) for s in port.shape)})"

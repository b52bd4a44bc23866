"""What a named test procedure fixes: how pictures are resized, padded, mirrored and averaged.

One file for each program whose procedures psp repeats; `registry.py` lists them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from psp.settings.resize import Target

PAPER_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """A procedure's rules.

    `size(size, scale, target)` returns the size (H, W) of a picture at a scale. The others:

    padding    where a picture that is smaller than a window is padded with the mean: in equal parts
               around it, below and on the right, or not at all (the window is smaller then)
    resized    by which library the uint8 picture is resized before it is normalized; None: as
               floating-point numbers, by `antialias` as wide as MATLAB's imresize where it shrinks
    mirrors    what is mirrored, for flip: each window, or the picture
    sums       the logits of the two views of a window are summed, their softmax is not averaged
    averages   what overlapping windows, and the pixels that become one, are averaged as
    direct     a window's logits become the picture's own size in one step, not by the window's
    windows, stride, resize, flip, scales, multi_flip: what it takes if no option says otherwise;
               `scales` and `multi_flip` with --multi-scale
    own_sizes  its scales are of the picture's own size, whatever it is resized to at one scale
    """

    name: str
    title: str  # whose procedure it is, for people
    size: Callable[[tuple[int, int], float, Target], tuple[int, int]]
    padding: Literal["around", "after", "none"] = "none"
    resized: Literal["opencv", "pillow"] | None = None
    antialias: bool = False
    mirrors: Literal["window", "picture"] = "window"
    sums: bool = False
    averages: Literal["probabilities", "logits"] = "probabilities"
    direct: bool = False
    windows: str = "square"
    resize: str | None = None
    flip: bool = False
    scales: tuple[float, ...] = PAPER_SCALES
    multi_flip: bool = True
    own_sizes: bool = False

"""What the levels of the pyramid contribute to a picture's labels.

A level is switched off by putting its mean over other pictures in its place: what is left of it is
what it says of every picture. With n levels there are 2 ** n networks, from the one with all levels
to the one that sees no more of the picture than its map. They share the backbone and the map's term
of the convolution, which are by far the most work, so all of them cost little more than one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from psp.errors import PspError
from psp.model.inference import SlidingWindow
from psp.model.procedure import Procedure
from psp.model.pspnet import Logits, PSPNet
from psp.model.pyramid import PyramidConv

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
MOST_LEVELS = 6  # 64 label maps


class Levels:
    """A loaded network, of whose pyramid some levels can be switched off.

    Raises PspError for a network without a pyramid, or with more than MOST_LEVELS levels.
    """

    def __init__(self, model: SlidingWindow, procedure: Procedure) -> None:
        assert isinstance(model.network, PSPNet)
        self._model, self._network, self._procedure = model, model.network, procedure
        self.bins = model.network.spec.bins
        if not 1 <= len(self.bins) <= MOST_LEVELS:
            raise PspError(
                f"this network's pyramid has {len(self.bins)} levels; what they contribute is "
                f"shown of 1 to {MOST_LEVELS}."
            )
        assert isinstance(model.network.head.conv, PyramidConv)
        self._pyramid = model.network.head.conv

    @torch.inference_mode()
    def means(self, pictures: Iterable[Picture]) -> list[Tensor]:
        """Return the mean of each level over all windows of some pictures: (1, width, bin, bin).

        Raises PspError if there is no picture.
        """
        sums = [torch.zeros((), dtype=torch.float64)] * len(self.bins)
        windows = 0

        def watch(images: Tensor) -> Logits:
            nonlocal windows
            x = self._network.backbone(images)[1]
            for place, level in enumerate(self._pyramid.levels):
                sums[place] = sums[place] + level(x).double().cpu().sum(0, keepdim=True)
            windows += len(images)
            sides = [self._model.map_side(side) for side in images.shape[2:]]
            # Nobody looks at the labels.
            return Logits(images.new_zeros(len(images), self._model.classes, *sides), None)

        watched = replace(self._model, network=watch, constant=False)
        for picture in pictures:
            for _ in watched.tiles(picture, self._procedure):
                pass
        if not windows:
            raise PspError("no sample picture to take the levels' means of.")
        return [(total / windows).to(self._model.device, self._model.precision) for total in sums]

    def label_maps(self, picture: Picture, means: Sequence[Tensor]) -> list[NDArray[np.uint8]]:
        """Return class ids (H, W) for each of the 2 ** levels sets of levels.

        In place i is the map of those whose bit is set in i, the first level's being the lowest. So
        the last map is that of the whole network, exactly as psp predict writes it.
        """
        windows = _Windows(self._network, self._pyramid, means)
        model = replace(self._model, network=windows, constant=False)
        maps = []
        for kept in range(2 ** len(self.bins)):
            windows.begin(kept)
            maps.append(model.label_map(picture, self._procedure).cpu().numpy())
        return maps


class _Windows:
    """A network on the windows of one picture, again and again in the same order."""

    def __init__(self, network: PSPNet, pyramid: PyramidConv, means: Sequence[Tensor]) -> None:
        self._network, self._pyramid, self._means = network, pyramid, means
        self._stored: list[tuple[Tensor, list[Tensor]]] = []  # the map's term, and the levels
        self._kept, self._next = 0, 0

    def begin(self, kept: int) -> None:
        """Start with the first window again, with these levels."""
        self._kept, self._next = kept, 0

    def __call__(self, images: Tensor) -> Logits:
        if self._next == len(self._stored):
            x = self._network.backbone(images)[1]
            levels = [level(x) for level in self._pyramid.levels]
            self._stored.append((self._pyramid.map_term(x), levels))
        y, levels = self._stored[self._next]
        self._next += 1
        chosen = [
            level if self._kept >> place & 1 else mean.expand_as(level)
            for place, (level, mean) in enumerate(zip(levels, self._means, strict=True))
        ]
        return Logits(self._network.head.classify(self._pyramid.join(y, chosen)), None)

"""The pyramid pooling module and the 3x3 convolution after it, computed together.

The paper pools the feature map to grids of 1, 2, 3 and 6 bins, reduces each by a 1x1 convolution,
upsamples each to the map's size, concatenates them with the map and convolves by 3x3. Upsampling
and convolution are both linear, so the convolution can be split:

    conv(concat(x, up(p1), ..., up(p6))) = conv_x(x) + sum_i spread_i(taps_i)

where taps_i are the nine 1x1 products of p_i, computed on its few pixels, and spread_i places them
by two small matrices, one per axis. The concatenated map (4096 channels) never exists. The weight
stays one (512, 4096, 3, 3) tensor, and `plain=True` computes the paper's formula, as the reference.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PyramidLevel(nn.Module):
    """One grid: pool to (bin, bin), reduce the channels by a 1x1 convolution if asked to."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        bin_size: int,
        pooling: str,
        reduce: bool,
        momentum: float,
    ) -> None:
        super().__init__()
        self.bin_size = bin_size
        self.pooling = pooling
        self.reduce = reduce
        if reduce:
            self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.bn = nn.BatchNorm2d(out_channels, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, bin, bin)."""
        pooled = self._pool(x)
        if not self.reduce:
            return pooled
        return F.relu(self.bn(self.conv(pooled)), inplace=True)

    def _pool(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        largest = self.pooling == "max"
        if height % self.bin_size == 0 and width % self.bin_size == 0:
            # As the Caffe release pools; unlike the adaptive one, its gradient on CUDA repeats.
            window = (height // self.bin_size, width // self.bin_size)
            return F.max_pool2d(x, window) if largest else F.avg_pool2d(x, window)
        adaptive = F.adaptive_max_pool2d if largest else F.adaptive_avg_pool2d
        pooled: Tensor = adaptive(x, self.bin_size)
        return pooled


class PyramidConv(nn.Module):
    """Pyramid pooling, then a 3x3 convolution over the map and all upsampled levels.

    Channels are ordered [x, level of bins[0], level of bins[1], ...], as in semseg.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        bins: tuple[int, ...],
        *,
        pooling: str,
        reduce: bool,
        level_width: int | None = None,
        align_corners: bool,
        momentum: float,
    ) -> None:
        super().__init__()
        width = level_width or in_channels // max(1, len(bins)) if reduce else in_channels
        self.levels = nn.ModuleList(
            PyramidLevel(in_channels, width, size, pooling, reduce, momentum) for size in bins
        )
        self.widths = [in_channels, *(width for _ in bins)]
        self.conv = nn.Conv2d(sum(self.widths), out_channels, 3, padding=1, bias=False)
        self.align_corners = align_corners
        self.plain = False

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w)."""
        levels = [level(x) for level in self.levels]  # (B, width, bin, bin) each
        return self._plain(x, levels) if self.plain else self.join(self.map_term(x), levels)

    def _plain(self, x: Tensor, levels: list[Tensor]) -> Tensor:
        spread = [
            F.interpolate(level, x.shape[2:], mode="bilinear", align_corners=self.align_corners)
            for level in levels
        ]
        y: Tensor = self.conv(torch.cat([x, *spread], dim=1))  # (B, out_channels, h, w)
        return y

    def map_term(self, x: Tensor) -> Tensor:
        """Return what the map itself (B, in_channels, h, w) adds to the sum."""
        weight = torch.split(self.conv.weight, self.widths, dim=1)[0]
        # The bias is that of a folded batch norm.
        return F.conv2d(x, weight, self.conv.bias, padding=1)

    def join(self, y: Tensor, levels: Sequence[Tensor]) -> Tensor:
        """Add what the levels, (B, width, bin, bin) each, contribute to the map's term."""
        _, *level_weights = torch.split(
            self.conv.weight, self.widths, dim=1
        )  # (out_channels, width, 3, 3) each
        if not level_weights:
            return y
        sizes = [level.shape[-1] for level in levels]
        across, _ = self._spreads(y.shape[3], sizes, y)  # (w, 3 * bin) each
        _, down = self._spreads(y.shape[2], sizes, y)  # (h, 3 * sum of bins)
        columns = []
        for level, weight, lines in zip(levels, level_weights, across, strict=True):
            size = level.shape[-1]
            # With weights channels last this is the weight itself, not a copy.
            matrix = weight.permute(0, 2, 3, 1).reshape(
                -1, weight.shape[1]
            )  # (out_channels * 9, width)
            taps = (matrix @ level.flatten(2)).view(len(y), -1, 3, 3, size, size)
            taps = taps.transpose(3, 4).reshape(len(y), -1, 3 * size, 3 * size)
            columns.append(taps @ lines.T)  # (B, out_channels, 3 * bin, w)
        return y + down @ torch.cat(columns, dim=2)

    def _spreads(self, length: int, bins: list[int], like: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return `spread` of each number of bins, and all of them side by side."""
        # What is compiled makes them itself, as part of its own kernels.
        make = spreads.__wrapped__ if torch.compiler.is_compiling() else spreads
        return make(length, tuple(bins), like.dtype, like.device, align_corners=self.align_corners)


def spread(
    length: int, bins: int, dtype: torch.dtype, device: torch.device, *, align_corners: bool
) -> Tensor:
    """Return the (length, 3 * bins) matrix of upsampling `bins` pixels and taking three taps.

    Column t * bins + i is the weight of pixel i in the upsampled line shifted by t - 1, with zeros
    outside, as a convolution with padding 1 sees it.
    """
    kind = torch.promote_types(dtype, torch.float32)
    identity = torch.eye(bins, dtype=kind, device=device)[None]  # (1, bins, bins)
    up = F.interpolate(identity, length, mode="linear", align_corners=align_corners)
    padded = F.pad(up[0].T, (0, 0, 1, 1))  # (length + 2, bins)
    return torch.cat([padded[tap : tap + length] for tap in range(3)], dim=1).to(dtype)


@lru_cache(256)
def spreads(
    length: int,
    bins: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
    *,
    align_corners: bool,
) -> tuple[list[Tensor], Tensor]:
    """Return `spread` of each number of bins, and all of them side by side: always the same ones.

    Each takes five kernels, and a training step needs eight of them.
    """
    with torch.inference_mode(False):
        matrices = [
            spread(length, size, dtype, device, align_corners=align_corners) for size in bins
        ]
        return matrices, torch.cat(matrices, dim=1)

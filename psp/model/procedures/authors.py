"""The procedures of the authors' two releases.

torch   (semseg tool/test.py) the long side becomes round(scale * base); a picture smaller than a
        window lies in the middle of the padding.
caffe   (PSPNet evaluation/*.m) the long side becomes round(scale * base) + 1; the padding is below
        and on the right; what shrinks is smoothed, as by MATLAB's imresize; the logits of the
        mirrored windows are summed.
"""

from psp.model.procedures.rules import Rules
from psp.settings.resize import Target


def torch_size(size: tuple[int, int], scale: float, target: Target) -> tuple[int, int]:
    """Return the size (H, W) at a scale: one side by the target, the other to fit."""
    return _size(size, scale, target, 0)


def caffe_size(size: tuple[int, int], scale: float, target: Target) -> tuple[int, int]:
    """Return the size (H, W) at a scale: as `torch_size`, and one pixel more."""
    return _size(size, scale, target, 1)


def _size(size: tuple[int, int], scale: float, target: Target, more: int) -> tuple[int, int]:
    fixed, wanted = max(size), target.long or max(size)
    if target.short is not None and (
        target.long is None or target.short / min(size) < target.long / max(size)
    ):
        fixed, wanted = min(size), target.short
    after = max(1, round(scale * wanted)) + more
    height, width = (
        after if side == fixed else max(1, round(after / fixed * side)) for side in size
    )
    return height, width


TORCH = Rules(
    name="torch",
    title="the authors' PyTorch code",
    size=torch_size,
    padding="around",
    flip=True,
)
CAFFE = Rules(
    name="caffe",
    title="the Caffe release's procedure",
    size=caffe_size,
    padding="after",
    antialias=True,
    sums=True,
    flip=True,
)

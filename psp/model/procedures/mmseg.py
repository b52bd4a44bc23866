"""The procedures of mmsegmentation (1.x: mmseg/models/segmentors, the configs' test pipelines).

The picture is resized as uint8, by OpenCV. Windows and pixels are averaged as logits, and nothing
is padded. With several scales and flip, each view of the whole picture becomes probabilities at the
picture's own size, which are averaged.

mmseg      the scales are of the picture's own size (`Resize(scale_factor=...)` in tta_pipeline)
mmseg-0.x  the scales are of the size that it is resized to at one scale (MultiScaleFlipAug of the
           versions before 1.0): the multi-scale numbers of its model zoo are from these versions
"""

from dataclasses import replace

from psp.model.procedures.rules import Rules
from psp.settings.resize import Target


def mmseg_size(size: tuple[int, int], scale: float, target: Target) -> tuple[int, int]:
    """Return the size (H, W) at a scale: as large as fits into the target, or into its own size."""
    longest, shortest = max(size), min(size)
    if target == Target():
        box = [int(side * scale + 0.5) / side for side in (longest, shortest)]
    else:
        pairs = ((target.long, longest), (target.short, shortest))
        box = [int(bound * scale) / side for bound, side in pairs if bound is not None]
    factor = min(box)
    height, width = (max(1, int(side * factor + 0.5)) for side in size)
    return height, width


MMSEG = Rules(
    name="mmseg",
    title="mmsegmentation's procedure",
    size=mmseg_size,
    resized="opencv",
    mirrors="picture",
    averages="logits",
    windows="whole",
    own_sizes=True,
)
MMSEG_0 = replace(
    MMSEG, name="mmseg-0.x", title="the procedure of mmsegmentation before 1.0", own_sizes=False
)

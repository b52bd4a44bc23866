"""The procedure of CSAIL's semantic-segmentation-pytorch (eval.py, mit_semseg/dataset.py).

The short side becomes N and the long side 1000 at most, both are rounded up to multiples of 8, and
Pillow resizes the uint8 picture to that, which smooths what shrinks. The whole picture goes through
the network, its logits become the picture's own size in one step, and the probabilities of the
sizes are averaged; nothing is mirrored. The program's own test takes five sizes. Which single one
its scores for one scale are from, it does not say: here it is the middle one.
"""

from psp.model.procedures.rules import Rules
from psp.settings.resize import Target

SHORT_SIDES = (300, 375, 450, 525, 600)
SHORT = 450
LONGEST = 1000
MULTIPLE = 8


def csail_size(size: tuple[int, int], scale: float, target: Target) -> tuple[int, int]:
    """Return the size (H, W) at a scale."""
    factor = scale
    if target.short is not None:
        bound = target.long or LONGEST
        factor = min(round(scale * target.short) / min(size), bound / max(size))
    elif target.long is not None:
        factor = round(scale * target.long) / max(size)
    height, width = (-(-max(1, int(side * factor)) // MULTIPLE) * MULTIPLE for side in size)
    return height, width


CSAIL = Rules(
    name="csail",
    title="CSAIL's procedure",
    size=csail_size,
    resized="pillow",
    direct=True,
    windows="whole",
    resize=f"short:{SHORT}",
    scales=tuple(side / SHORT for side in SHORT_SIDES),
    multi_flip=False,
)

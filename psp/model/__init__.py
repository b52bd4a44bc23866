"""The core model package: dilated ResNets, the pyramid, PSPNet.

`build(architecture)` makes the network; it maps normalized pictures to logits at 1/8 of their size
(`Logits`), and `upsample` brings those to full size. `fold` makes it one for inference alone.
Labels and losses are elsewhere.
"""

from psp.model.architecture import Architecture
from psp.model.folded import fold
from psp.model.pspnet import Logits, PSPNet, build, upsample

__all__ = ["Architecture", "Logits", "PSPNet", "build", "fold", "upsample"]

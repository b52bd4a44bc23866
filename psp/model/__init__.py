"""The core model package: dilated ResNets, the pyramid, PSPNet.

`build(architecture)` makes the network; it maps normalized pictures to logits at 1/8 of their size
(`Logits`), and `upsample` brings those to full size. Labels and losses are elsewhere.
"""

from psp.model.architecture import Architecture
from psp.model.pspnet import Logits, PSPNet, build, upsample

__all__ = ["Architecture", "Logits", "PSPNet", "build", "upsample"]

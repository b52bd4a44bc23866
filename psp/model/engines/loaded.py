"""What an engine makes of a model: a function from windows to logits, and how to call it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from psp.events import Report
from psp.model.backbones.backbone import Backbone
from psp.model.pspnet import Logits
from psp.model.weights import Header


@dataclass(frozen=True)
class Loaded:
    """A network that is ready to run.

    `network` maps normalized windows (B, 3, H, W) in `takes` to logits. `map_side` is the side of
    those for a window's side.
    """

    network: Callable[[Tensor], Logits]
    header: Header
    takes: torch.dtype = torch.float32
    map_side: Callable[[int], int] = Backbone.map_side
    votes: bool = False  # the logits only say which class is the most probable one


@dataclass(frozen=True)
class Engine:
    """A way to run networks, by its name in the table `ENGINES`.

    `load(path, device, precision, report)` loads a model. `precisions` are those that the engine
    computes in, the first one unless another is asked for.
    """

    load: Callable[[Path, torch.device, torch.dtype, Report], Loaded]
    precisions: tuple[torch.dtype, ...]

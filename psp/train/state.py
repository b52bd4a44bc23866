"""The state of a training run: its network, optimizer and data, and what is stored of them."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from psp.data.shards import ShardSplit
from psp.device import precision_name, precision_text
from psp.model.preprocessing import Preprocessing
from psp.model.pspnet import Logits, PSPNet
from psp.ranks import launch_name
from psp.runs import Run
from psp.settings.config import TrainConfig
from psp.train.distributed import Ranks
from psp.train.ema import Ema
from psp.train.loss import Criterion
from psp.train.pictures import RunPictures
from psp.train.run_log import Event
from psp.version import __version__


@dataclass
class TrainingState:
    """A run in progress. `ema` follows `network` where the run keeps averaged weights.

    `parallel` is what a step calls: the network, or a wrapper that unites it with those of other
    ranks.
    """

    run: Run
    config: TrainConfig
    data: ShardSplit
    val_data: ShardSplit
    network: PSPNet
    parallel: Callable[[Tensor], Logits]
    ranks: Ranks
    ema: Ema | None
    criterion: Criterion
    optimizer: torch.optim.SGD
    device: torch.device
    precision: torch.dtype
    preprocessing: Preprocessing
    stop: Callable[[], bool]
    remarks: list[str]
    reused: tuple[str, ...] = ()  # the heads' layers that init took from a model
    record: Mapping[str, Any] = field(default_factory=dict)  # of what init took
    sources: dict[str, str] = field(default_factory=dict)  # of settings that psp has found
    log: Callable[[Event], None] = field(default=lambda event: None)  # until the run log begins
    pictures: RunPictures | None = None  # on the first rank, if the run draws any
    folded: PSPNet | None = None  # for validations; the first one makes it, others write into it
    start: int = 0
    best: dict[str, Any] = field(default_factory=lambda: {"miou": -1.0, "step": 0, "validated": 0})

    @property
    def ended(self) -> bool:
        """Whether the run's patience is used up: so many validations did not improve the mIoU."""
        patience = self.config.run.patience
        return patience is not None and self.best.get("since", 0) >= patience

    @property
    def kept(self) -> PSPNet:
        """The network whose weights are validated and kept."""
        return self.network if self.ema is None else self.ema.network

    def to_checkpoint(self) -> dict[str, Any]:
        """Return what a resumed run needs, as tensors and plain types."""
        return {
            "network": self.network.state_dict(),
            "average": None if self.ema is None else self.ema.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "architecture": self.network.spec.to_dict(),
            "preprocessing": asdict(self.preprocessing),
            "reused": list(self.reused),
        }

    def to_config(self, command: str) -> dict[str, Any]:
        """Return what config.json says of a new run."""
        device = self.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
        return {
            "settings": self.config.flat(),
            **({"init": dict(self.record)} if self.record else {}),
            **({"sources": self.sources} if self.sources else {}),
            "data": str(self.data.folder.resolve()),
            "data_fingerprint": self.data.fingerprint,
            "command": command,
            "launch": launch_name(),
            "ranks": self.ranks.total,
            "device": f"{device} {name}".strip(),
            "threads": torch.get_num_threads(),
            "precision": precision_name(self.precision),
            "versions": {
                "psp": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }

    @property
    def description(self) -> str:
        """The run in one line for people."""
        count = sum(parameter.numel() for parameter in self.network.parameters())
        ranks = "" if self.ranks.alone else f"{self.ranks.total} ranks, this one "
        text = (
            f"{self.config.network.backbone}, {len(self.data.card.classes)} classes, "
            f"{count / 1e6:.1f} M parameters, {ranks}on {self.device} in "
            f"{precision_text(self.precision, self.device)}; {len(self.data)} pictures to train "
            f"on, {len(self.val_data)} to validate on"
        )
        if self.config.data.limit is not None:
            text += ", the same ones: an overfit check"
        return text

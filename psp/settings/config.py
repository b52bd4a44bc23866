"""The settings of a training run: one frozen dataclass, every default written once.

Numbers come from the paper (Zhao et al., CVPR 2017, section 5.1) unless a help text says otherwise.
"""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from psp.errors import PspError

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet269")
FREEZABLE = ("none", "stem", "stage2", "stage3", "stage4", "stage5")  # the paper's names


def _setting(
    default: Any,
    help: str,
    *,
    choices: tuple[Any, ...] = (),
    low: float = -math.inf,
    high: float = math.inf,
    source: str = "psp",
) -> Any:
    """Declare a setting; `source` is whose number the default is."""
    limits = {"choices": choices, "low": low, "high": high}
    return field(default=default, metadata={"help": help, "source": source, **limits})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a run. Raises PspError when a value is out of its range."""

    # The network
    backbone: str = _setting(
        "resnet50", "the dilated residual network", choices=BACKBONES, source="paper, table 1"
    )
    stem: str = _setting(
        "7x7",
        "7x7: one convolution, as in torchvision; deep: three 3x3 convolutions, the authors' own",
        choices=("7x7", "deep"),
    )
    bins: tuple[int, ...] = _setting(
        (1, 2, 3, 6),
        "pyramid grid sizes; none: no pyramid",
        low=1,
        high=64,
        source="paper, table 1",
    )
    pooling: str = _setting(
        "average", "pyramid pooling", choices=("average", "max"), source="paper, table 1"
    )
    reduce: bool = _setting(
        True, "reduce each pyramid level to 1/len(bins) of the channels", source="paper, table 1"
    )
    aux_weight: float = _setting(
        0.4, "weight of the auxiliary loss; 0: no auxiliary head", low=0, source="paper, table 2"
    )
    dropout: float = _setting(
        0.1, "dropout before both classifiers", low=0, high=0.99, source="Caffe release"
    )
    dropout_kind: str = _setting(
        "element",
        "element: the paper's; channel: whole channels, as semseg",
        choices=("element", "channel"),
        source="Caffe release",
    )
    norm_momentum: float = _setting(
        0.1,
        "batch norm momentum in torch's sense (the Caffe release: 0.05)",
        low=0,
        high=1,
        source="torch",
    )
    init: str = _setting(
        "imagenet",
        "imagenet: the weights that belong to the stem; none: random; or a model",
    )

    # The schedule
    batch: int = _setting(
        16,
        "images per step, over all devices; auto: as it is, in as few parts as fit (accumulate)",
        low=1,
        source="paper, section 5.1",
    )
    steps: int = _setting(
        30_000, "optimizer steps, not epochs", low=1, source="paper, section 5.1: VOC"
    )
    lr: float = _setting(0.01, "learning rate of the backbone", low=0, source="paper, section 5.1")
    head_lr: float = _setting(
        10.0, "factor on the learning rate of new layers", low=0, source="Caffe release"
    )
    bias_lr: float = _setting(
        2.0,
        "factor on the learning rate of the classifiers' biases, beside head_lr (semseg: 1)",
        low=0,
        source="Caffe release",
    )
    power: float = _setting(
        0.9, "lr * (1 - step / steps) ** power", low=0, source="paper, section 5.1"
    )
    momentum: float = _setting(0.9, "SGD momentum", low=0, high=1, source="paper, section 5.1")
    weight_decay: float = _setting(1e-4, "SGD weight decay", low=0, source="paper, section 5.1")
    norm_decay: bool = _setting(
        False,
        "decay batch norms and biases too (semseg does, the paper does not)",
        source="Caffe release",
    )
    loss_stride: int = _setting(
        8,
        "8: the loss compares at 1/8 of the crop, as the paper; 1: at full size, as semseg",
        choices=(1, 8),
        source="Caffe release",
    )

    accumulate: int | None = _setting(
        1,
        "parts a step's batch is computed in, one after the other; batch norm sees one part; auto: "
        "as few as fit the GPU's memory",
        low=1,
        high=4096,
    )
    class_weights: str = _setting(
        "none",
        "median, log: total_weight rare classes up, by the shards' histograms (SegNet's rule, ENet's)",
        choices=("none", "median", "log"),
    )
    ohem: float = _setting(
        0.0,
        "only pixels whose true class has less than this probability teach; 0: all do",
        low=0,
        high=1,
    )
    ohem_keep: float = _setting(
        0.1, "with ohem: of each picture, at least this share of the hardest", low=0, high=1
    )
    ema: float = _setting(
        0.0,
        "decay of averaged weights, which are then validated and kept (0.999); 0: none",
        low=0,
        high=0.99999,
    )
    freeze: str = _setting(
        "none",
        "stem, stage2, ..., stage5: the backbone up to there learns nothing",
        choices=FREEZABLE,
    )
    freeze_norm: str = _setting(
        "none",
        "backbone, all: batch norms keep the statistics they start with (for tiny batches)",
        choices=("none", "backbone", "all"),
    )

    # The pictures
    crop: int = _setting(
        473,
        "side of the training crop and of the test window; 8n+1",
        low=9,
        high=4097,
        source="Caffe release",
    )
    base_size: int | None = _setting(
        None,
        "long side that test pictures are resized to; auto: left as they are",
        low=1,
        high=32768,
    )
    scale_min: float = _setting(0.5, "smallest random scale", low=0.05, source="paper, section 5.1")
    scale_max: float = _setting(2.0, "largest random scale", high=20, source="paper, section 5.1")
    rotate: float = _setting(
        10.0,
        "largest random rotation, degrees either way",
        low=0,
        high=180,
        source="paper, section 5.1",
    )
    rotate_probability: float = _setting(
        0.5, "share of crops that are rotated (semseg's)", low=0, high=1, source="semseg"
    )
    blur: float = _setting(
        0.5,
        "share of crops that get a 5x5 Gaussian blur (semseg's)",
        low=0,
        high=1,
        source="paper, section 5.1; the share is semseg's",
    )
    flip: float = _setting(
        0.5, "share of crops that are mirrored", low=0, high=1, source="paper, section 5.1"
    )
    train_split: str | None = _setting(
        None, "split to train on; auto: train_aug where the shards have one, else train"
    )
    val_split: str = _setting("val", "split to validate on")
    limit: int | None = _setting(
        None, "train AND validate on the first N training pictures: an overfit check", low=1
    )

    # The run
    seed: int = _setting(0, "every random choice follows from it", low=0, high=2**63 - 1)
    precision: str = _setting(
        "auto", "auto: bf16 where a GPU has it, else fp32", choices=("auto", "fp32", "bf16")
    )
    compile: bool = _setting(
        False, "compile the network (torch.compile), minutes at the start; for long runs on a GPU"
    )
    deterministic: bool = _setting(
        False, "repeat a run on a GPU bit for bit, with slower kernels (a CPU always does)"
    )
    tensorboard: bool = _setting(False, "write the curves for TensorBoard too (an extra)")
    workers: int | None = _setting(
        None, "processes that load pictures; auto: by the cores", low=0, high=256
    )
    eval_every: int | None = _setting(None, "validate every N steps; auto: ten times a run", low=1)
    save_every: int | None = _setting(
        None, "checkpoint every N steps; auto: ten times a run, every 500 at most", low=1
    )
    log_every: int | None = _setting(
        None, "log every N steps; auto: 20 times a run, every 50 at most", low=1
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            _check_range(item.name, getattr(self, item.name), dict(item.metadata))
        if self.crop % 8 != 1:
            raise PspError(
                f"crop={self.crop}: a crop must be 8n+1; 48k-7 also divides by all pyramid bins. "
                f"Nearest: {' or '.join(map(str, nearest_crops(self.crop)))}."
            )
        if self.scale_min > self.scale_max:
            raise PspError(f"scale_min={self.scale_min} is larger than scale_max={self.scale_max}.")
        if self.batch % self.parts:
            raise PspError(
                f"accumulate={self.accumulate}: {self.batch} images a step do not divide into so "
                f"many equal parts. Nearest batches: {multiples(self.batch, self.parts)}."
            )
        if len(set(self.bins)) != len(self.bins):
            raise PspError(f"bins={show(self.bins)}: a grid size stands twice.")

    @property
    def parts(self) -> int:
        """Parts a step's batch is computed in; 1 while `auto` is not resolved."""
        return self.accumulate or 1

    @property
    def eval_interval(self) -> int:
        """Steps between validations, with `auto` resolved."""
        return self.eval_every or max(1, self.steps // 10)

    @property
    def save_interval(self) -> int:
        """Steps between checkpoints, with `auto` resolved."""
        return self.save_every or max(1, min(500, self.steps // 10))

    @property
    def log_interval(self) -> int:
        """Steps between log lines, with `auto` resolved."""
        return self.log_every or max(1, min(50, self.steps // 20))


# These change how fast a run is and how often it reports, never what it computes. (`eval_every` is
# not among them: it decides which step's weights can become the best.)
FREE_ON_RESUME = frozenset({"workers", "save_every", "log_every", "tensorboard"})


def nearest_crops(size: int) -> tuple[int, int]:
    """Return the two crops of the form 48k-7 (k >= 1) on either side of `size`, the nearer first.

    Such a crop gives a feature map whose side divides by 6, and so by all of the bins 1, 2, 3, 6.
    """
    below = max(1, (size + 7) // 48)
    pair = (48 * below - 7, 48 * (below + 1) - 7)
    return pair if size - pair[0] <= pair[1] - size else (pair[1], pair[0])


def multiples(number: int, divisor: int) -> str:
    """Return the multiples of `divisor` on either side of `number`, as "12 or 18"."""
    below = number // divisor * divisor
    return " or ".join(str(k) for k in (below, below + divisor) if k)


def show(value: Any) -> str:
    """Return a setting's value as `--set` takes it."""
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value)) or "none"
    return str(value)


def _check_range(name: str, value: Any, limits: dict[str, Any]) -> None:
    choices = limits["choices"]
    if choices and value not in choices:
        raise PspError(f"{name}={show(value)}: one of {', '.join(map(str, choices))}.")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            if not math.isfinite(number):
                raise PspError(f"{name}={number}: not a finite number.")
            if number < limits["low"]:
                raise PspError(f"{name}={show(number)}: must be at least {limits['low']:g}.")
            if number > limits["high"]:
                raise PspError(f"{name}={show(number)}: must be at most {limits['high']:g}.")

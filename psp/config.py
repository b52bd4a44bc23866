"""The settings of a training run: one frozen dataclass, every default written once.

A run's settings are these defaults, overlaid by the recipe of the data set's card, overlaid by the
options of the command line. A key that is no setting is refused, with the nearest that is.
Numbers come from the paper (Zhao et al., CVPR 2017, section 5.1) unless a help text says otherwise.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_args, get_type_hints

from psp.errors import PspError, nearest

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet269")


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
        16, "images per step, over all devices", low=1, source="paper, section 5.1"
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

    # The run
    seed: int = _setting(0, "every random choice follows from it", low=0, high=2**63 - 1)
    precision: str = _setting(
        "auto", "auto: bf16 where a GPU has it, else fp32", choices=("auto", "fp32", "bf16")
    )
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
        if len(set(self.bins)) != len(self.bins):
            raise PspError(f"bins={show(self.bins)}: a grid size stands twice.")

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
FREE_ON_RESUME = frozenset({"workers", "save_every", "log_every"})


def nearest_crops(size: int) -> tuple[int, int]:
    """Return the two crops of the form 48k-7 (k >= 1) on either side of `size`, the nearer first.

    Such a crop gives a feature map whose side divides by 6, and so by all of the bins 1, 2, 3, 6.
    """
    below = max(1, (size + 7) // 48)
    pair = (48 * below - 7, 48 * (below + 1) - 7)
    return pair if size - pair[0] <= pair[1] - size else (pair[1], pair[0])


def settings_from(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the checked and typed settings of a recipe or of `--set key=value` texts.

    `source` names where they come from, for the error. Raises PspError for an unknown key or a
    value of the wrong type.
    """
    kinds = get_type_hints(TrainConfig)
    kinds = {item.name: kinds[item.name] for item in fields(TrainConfig)}
    typed = {}
    for key, value in values.items():
        if key not in kinds:
            raise PspError(f"{source}: '{key}' is no setting.{nearest(key, kinds)}")
        typed[key] = _typed(value, kinds[key], f"{source}: {key}")
    return typed


def resolve(
    recipe: Mapping[str, Any], overrides: Mapping[str, Any], recipe_name: str
) -> TrainConfig:
    """Return defaults, overlaid by a card's recipe, overlaid by the command line's settings."""
    settings = settings_from(recipe, f"recipe {recipe_name}")
    return TrainConfig(**{**settings, **settings_from(overrides, "--set")})


@dataclass(frozen=True)
class Setting:
    """A resolved setting and who says so; `given` where it is not the default."""

    name: str
    value: Any
    source: str
    given: bool


def explain(recipe: Mapping[str, Any], recipe_source: str) -> list[Setting]:
    """Return every setting of a recipe with its source: the recipe's, or the default's."""
    given = settings_from(recipe, "recipe")
    config = TrainConfig(**given)
    return [
        Setting(
            item.name,
            getattr(config, item.name),
            recipe_source if item.name in given else item.metadata["source"],
            item.name in given,
        )
        for item in fields(TrainConfig)
    ]


def overlay(config: TrainConfig, overrides: Mapping[str, Any]) -> TrainConfig:
    """Return `config` with some settings replaced by the command line's."""
    return replace(config, **settings_from(overrides, "--set"))


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Return "key: old -> new" for each setting that differs and changes what a run computes."""
    before, after = asdict(old), asdict(new)
    return [
        f"{key}: {show(before[key])} -> {show(after[key])}"
        for key in before
        if before[key] != after[key] and key not in FREE_ON_RESUME
    ]


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


def _typed(value: Any, kind: Any, where: str) -> Any:
    """Return a TOML value or a command line's text as the type of a setting."""
    options = get_args(kind)
    if type(None) in options:  # int | None
        return None if value in (None, "auto") else _typed(value, options[0], where)
    if options:  # tuple[int, ...]
        parts = value.split(",") if isinstance(value, str) else value
        if parts in (["none"], [""]):
            return ()
        if not isinstance(parts, (list, tuple)):
            raise PspError(f"{where}={value}: a list of whole numbers, such as 1,2,3,6.")
        return tuple(_typed(part, int, where) for part in parts)
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        raise PspError(f"{where}={value}: true or false.")
    if kind is str:
        if isinstance(value, str):
            return value
        raise PspError(f"{where}={value}: a text.")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise PspError(f"{where}={value}: a number.")
    try:
        if kind is int and isinstance(value, str) and value.strip().isdecimal():
            return int(value)  # exact where a float would round
        number = float(value)
        if kind is int and number != int(number):
            raise ValueError
        return kind(number)
    except (ValueError, OverflowError):
        noun = "a whole number" if kind is int else "a number"
        raise PspError(f"{where}={value}: {noun}.") from None

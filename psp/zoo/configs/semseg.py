"""What a configuration of the authors' PyTorch release says (hszhao/semseg, config/*/*.yaml).

What its code has and its configurations do not say is added: tool/train.py and model/pspnet.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psp.annotations.yaml_subset import read_yaml
from psp.data.cardfile import find_card, shipped
from psp.errors import PspError
from psp.zoo.configs.config import ForeignConfig, shown, table

# The code's own: ten times the rate for new layers, decay on all parameters, Dropout2d, the loss at
# full size, half of the crops rotated, blurred and mirrored.
ALWAYS = {
    "stem": "deep",
    "init": "imagenet",
    "dropout": 0.1,
    "dropout_kind": "channel",
    "norm_momentum": 0.1,
    "loss_stride": 1,
    "head_lr": 10.0,
    "bias_lr": 1.0,
    "norm_decay": True,
    "rotate_probability": 0.5,
    "blur": 0.5,
    "flip": 0.5,
}
# psp's setting, the key under TRAIN, and its type.
SETTINGS: tuple[tuple[str, str, type], ...] = (
    ("aux_weight", "aux_weight", float),
    ("batch", "batch_size", int),
    ("lr", "base_lr", float),
    ("power", "power", float),
    ("momentum", "momentum", float),
    ("weight_decay", "weight_decay", float),
    ("seed", "manual_seed", int),
)
# What decides nothing, or nothing that lasts.
HARMLESS = {
    "arch",
    "layers",
    "train_h",
    "train_w",
    "rotate_min",
    "rotate_max",
    "zoom_factor",
    "ignore_label",
    "sync_bn",
    "train_gpu",
    "workers",
    "batch_size_val",
    "epochs",
    "start_epoch",
    "print_freq",
    "save_freq",
    "save_path",
    "weight",
    "resume",
    "evaluate",
    "scale_min",
    "scale_max",
    *(key for _, key, _ in SETTINGS),
}


def is_semseg(values: Mapping[str, Any]) -> bool:
    """Whether a YAML file's values are a configuration of semseg."""
    return "TRAIN" in values and "DATA" in values


def read_semseg_config(path: Path) -> ForeignConfig:
    """Return what a file says. Raises PspError for one that is not of a PSPNet, or damaged."""
    try:
        values = read_yaml(path.read_text(encoding="utf-8-sig"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise PspError(f"{path}: cannot be read as text ({error}).") from None
    if not is_semseg(values):
        raise PspError(f"{path}: not a configuration of semseg: it has no DATA and TRAIN.")
    data, train, test = (table(values.get(part)) for part in ("DATA", "TRAIN", "TEST"))
    if train.get("arch", "psp") != "psp":
        raise PspError(f"{path}: a configuration of semseg's {shown(train['arch'])}, not of psp.")
    config = ForeignConfig("a configuration of semseg", "semseg")
    config.card = _card(data)
    config.classes = _number(data.get("classes"), int)
    for name, value in ALWAYS.items():
        config.take(name, value)
    config.take("backbone", f"resnet{train.get('layers', 50)}")
    config.take("crop", _side(config, train, "train"))
    for name, key, kind in SETTINGS:
        config.take(name, _number(train.get(key), kind))
    ends = {name: _number(train.get(name), float) for name in ("scale_min", "scale_max")}
    config.take_all(**ends)
    _rotation(config, train)
    _steps(config, train)
    base_size = _number(test.get("base_size"), int)
    config.take("base_size", "auto" if base_size == 0 else base_size)
    if train.get("zoom_factor", "8") != "8":
        config.lack(
            f"zoom_factor={shown(train['zoom_factor'])}: psp's losses are at 1/8 or full size"
        )
    if train.get("ignore_label", "255") != "255":
        config.lack(f"ignore_label={shown(train['ignore_label'])}: psp's labels ignore 255")
    window = _side(config, test, "test")
    config.test_crop = window if isinstance(window, int) else None
    if window not in (None, config.settings.get("crop")):
        config.lack(f"windows of {window} in its test: psp evaluate --crop {window}")
    for key in sorted(set(train) - HARMLESS):
        config.lack(f"TRAIN: {shown(key)}={shown(train[key])}")
    return config


def _number(text: Any, kind: type) -> Any:
    try:
        return kind(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _side(config: ForeignConfig, part: Mapping[str, Any], name: str) -> int | str | None:
    """Return the side of a square, or WIDTHxHEIGHT."""
    height, width = (_number(part.get(f"{name}_{side}"), int) for side in "hw")
    return height if height == width else f"{width}x{height}"


def _rotation(config: ForeignConfig, train: Mapping[str, Any]) -> None:
    low, high = (_number(train.get(f"rotate_{end}"), float) for end in ("min", "max"))
    if None not in (low, high) and low != -high:
        config.lack(f"rotation from {low:g} to {high:g} degrees: psp's is as far to either side")
    config.take("rotate", high)


def _card(data: Mapping[str, Any]) -> str | None:
    """Return the shipped card whose name is in the data's path; semseg's folders are called so."""
    path = f"{data.get('data_root')} {data.get('train_list')}".lower()
    return max((name for name in shipped() if name in path), key=len, default=None)


def _steps(config: ForeignConfig, train: Mapping[str, Any]) -> None:
    """Set the steps: an epoch is as many full batches as the training split has."""
    epochs, batch = (_number(train.get(key), int) for key in ("epochs", "batch_size"))
    splits = {split.name: split for split in find_card(config.card).splits} if config.card else {}
    split = splits.get("train_aug") or splits.get("train")
    if not epochs or not batch or split is None or not split.images:
        config.lack(f"steps: {shown(epochs)} epochs, of pictures that it does not count")
        return
    config.take("steps", epochs * (split.images // batch))
    config.assumed.append(
        f"steps {epochs * (split.images // batch)}: {epochs} epochs of the {split.images} pictures "
        f"of {config.card}"
    )

"""What a training pipeline of mmsegmentation does to pictures, as psp's settings."""

from collections.abc import Mapping
from typing import Any

from psp.zoo.configs.config import ForeignConfig, shown, table
from psp.zoo.configs.python_text import at, whole_pair

PLACES = (
    ("train_dataloader", "dataset", "pipeline"),
    ("train_dataloader", "dataset", "dataset", "pipeline"),
    ("data", "train", "pipeline"),
    ("data", "train", "dataset", "pipeline"),
    ("train_pipeline",),
)
# Steps that change no pixel, or that psp always does.
HARMLESS = (
    "LoadImageFromFile",
    "LoadAnnotations",
    "Normalize",
    "PackSegInputs",
    "DefaultFormatBundle",
    "Collect",
)
# A picture smaller than the crop is padded with 0 after it is normalized: with the mean color.
ALWAYS = {"rotate": 0.0, "rotate_probability": 0.0, "blur": 0.0, "placed": "corner"}
COLORS = {"brightness": 32.0, "contrast": 0.5, "saturation": 0.5, "hue": 18}


def take_pipeline(config: ForeignConfig, values: Mapping[str, Any]) -> None:
    """Add the settings of the crops to `config`, and the steps that psp has no counterpart for."""
    steps = next((found for p in PLACES if isinstance(found := at(values, *p), list)), None)
    if steps is None:
        config.lack("train_pipeline: not said")
        return
    for name, value in {**ALWAYS, "flip": 0.0}.items():
        config.take(name, value)
    order = []
    for item in steps:
        step = table(item)
        kind = step.get("type")
        order.append(kind)
        if kind in ("RandomResize", "Resize"):
            _resize(config, step)
        elif kind == "RandomCrop":
            _crop(config, step)
        elif kind == "RandomFlip":
            _flip(config, step)
        elif kind == "PhotoMetricDistortion":
            _colors(config, step)
        elif kind == "RandomRotate":
            config.take("rotate", step.get("degree"))
            config.take("rotate_probability", step.get("prob"))
            config.lack("RandomRotate after the crop: psp rotates before, about the picture")
        elif kind == "Pad":
            _pad(config, step, normalized="Normalize" in order)
        elif kind not in HARMLESS:
            config.lack(f"train_pipeline: {shown(kind)}")


def _resize(config: ForeignConfig, step: Mapping[str, Any]) -> None:
    scale = whole_pair(step.get("scale", step.get("img_scale")))
    ratio = step.get("ratio_range")
    if scale is None or not step.get("keep_ratio", step.get("type") == "Resize"):
        config.lack(f"train_pipeline: {shown(step.get('type'))} to {_what(step)}")
        return
    config.take("train_resize", f"{max(scale)}x{min(scale)}")
    low, high = ratio if isinstance(ratio, list) and len(ratio) == 2 else (1.0, 1.0)
    config.take_all(scale_min=low, scale_max=high)


def _what(step: Mapping[str, Any]) -> str:
    return shown({key: value for key, value in step.items() if key != "type"})


def _crop(config: ForeignConfig, step: Mapping[str, Any]) -> None:
    size = whole_pair(step.get("crop_size"))
    if size is None:
        config.lack("train_pipeline: RandomCrop of an unknown size")
    else:
        height, width = size
        config.take("crop", height if height == width else f"{width}x{height}")
    config.take("class_limit", step.get("cat_max_ratio", 1.0))


def _flip(config: ForeignConfig, step: Mapping[str, Any]) -> None:
    if step.get("direction", "horizontal") != "horizontal":
        config.lack(f"train_pipeline: RandomFlip {shown(step['direction'])}")
    else:
        config.take("flip", step.get("prob", step.get("flip_ratio")))


def _colors(config: ForeignConfig, step: Mapping[str, Any]) -> None:
    for name, usual in COLORS.items():
        if name in ("brightness", "hue"):
            config.take(name, step.get(f"{name}_delta", usual))
            continue
        ends = step.get(f"{name}_range", [1 - usual, 1 + usual])
        numbers = isinstance(ends, list) and [type(end) in (int, float) for end in ends]
        if numbers != [True, True] or abs(ends[0] + ends[1] - 2) > 1e-9:
            config.lack(f"train_pipeline: {name}_range={shown(ends)}: not as far down as up")
        else:
            config.take(name, ends[1] - 1)


def _pad(config: ForeignConfig, step: Mapping[str, Any], *, normalized: bool) -> None:
    value = step.get("pad_val", 0)
    value = value.get("img", 0) if isinstance(value, Mapping) else value
    if value not in (0, [0, 0, 0]):
        config.lack(f"train_pipeline: Pad with {shown(value)}")
    else:
        config.take("outside", "mean" if normalized else "black")

"""What the text of an mmsegmentation configuration says of its test: windows, stride, size.

The text is Python, parsed as `psp.zoo.configs.python_text` says.
Sources: mmsegmentation's configs/_base_/datasets and models (1.x), and those of its versions before
1.0, whose test pipeline has a MultiScaleFlipAug.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psp.data.cardfile import shipped
from psp.errors import PspError
from psp.model.procedure import Published
from psp.settings.size import Sides
from psp.zoo.configs.python_text import at, variables, whole_pair

# Steps of a test pipeline that change no pixel, or that every network's preprocessing has.
HARMLESS = {
    "LoadImageFromFile",
    "LoadAnnotations",
    "PackSegInputs",
    "Normalize",
    "RandomFlip",  # without flip in the test of one view
    "ImageToTensor",
    "DefaultFormatBundle",
    "Collect",
}
PIPELINES = (
    ("test_pipeline",),
    ("test_dataloader", "dataset", "pipeline"),
    ("val_dataloader", "dataset", "pipeline"),
    ("data", "test", "pipeline"),
    ("data", "val", "pipeline"),
)
# The shipped cards of its data sets.
CARDS = {
    "ADE20KDataset": "ade20k",
    "PascalVOCDataset": "voc2012",
    "CityscapesDataset": "cityscapes",
    "PascalContextDataset59": "context",
    "PascalContextDataset": "context60",
    "BDD100KDataset": "bdd100k",
    "COCOStuffDataset": "cocostuff164k",
}
WRAPPERS = ("ConcatDataset", "RepeatDataset")
DATA_SETS = (
    ("train_dataloader", "dataset"),
    ("train_dataloader", "dataset", "dataset"),
    ("test_dataloader", "dataset"),
    ("data", "train"),
    ("data", "train", "dataset"),
    ("data", "test"),
)


@dataclass(frozen=True)
class ConfiguredTest:
    """How a configuration tests, its training crop, and what is unknown."""

    procedure: Published
    crop: Sides | None = None
    remarks: tuple[str, ...] = ()


def read_test(config: str) -> ConfiguredTest:
    """Return what a configuration's text says of the test. Without one, what most have."""
    values = variables(config)
    remarks: list[str] = []
    windows, stride = _windows(at(values, "model", "test_cfg"), remarks)
    old, resize = _resize(_pipeline(values), remarks)
    if at(values, "model", "data_preprocessor", "test_cfg"):
        remarks.append("pictures are not padded as it pads them in its test")
    ignored = at(values, "model", "decode_head", "ignore_index")
    if ignored not in (None, 255):
        remarks.append(f"it was not trained on pixels of class {str(ignored)[:20]} (ignore_index)")
    name = "mmseg-0.x" if old else "mmseg"
    try:
        procedure = Published(name, windows, stride, resize)
    except PspError as error:
        remarks.append(f"its test settings are not used: {error}")
        procedure = Published(name, "whole")
    return ConfiguredTest(procedure, _crop(values), tuple(remarks))


def _windows(test: Any, remarks: list[str]) -> tuple[str, str | None]:
    """Return the windows and the stride of test_cfg, which has heights before widths."""
    mode = test.get("mode") if isinstance(test, Mapping) else None
    if mode is None:
        remarks.append("it does not say how it is tested: whole pictures are assumed")
    elif mode == "slide":
        crop, stride = whole_pair(test.get("crop_size")), whole_pair(test.get("stride"))
        if crop and stride:
            return f"{crop[1]}x{crop[0]}", f"{stride[1]}x{stride[0]}"
        remarks.append("its windows are not understood: whole pictures are assumed")
    elif mode != "whole":
        remarks.append("its mode of testing is not understood: whole pictures are assumed")
    return "whole", None


def _pipeline(values: Mapping[str, Any]) -> list[Any]:
    for path in PIPELINES:
        if isinstance(steps := at(values, *path), (list, tuple)):
            return list(steps)
    return []


def _resize(steps: list[Any], remarks: list[str]) -> tuple[bool, str | None]:
    """Return whether a test pipeline is of a version before 1.0, and what it resizes to."""
    old, scale, ratio = False, None, True
    for step in _flat(steps):
        kind = step.get("type")
        if kind == "MultiScaleFlipAug":
            old, scale = True, step.get("img_scale")
        elif kind == "Resize":
            ratio = step.get("keep_ratio", False) is True
            scale = step.get("scale", step.get("img_scale", scale))
        elif not isinstance(kind, str) or kind not in HARMLESS:
            name = kind if isinstance(kind, str) else "without a name"
            remarks.append(f"a step of its test is not done: {name[:80]}")
    size = whole_pair(scale)
    if size is None or not ratio:
        if steps:
            remarks.append("the size that it resizes pictures to is not understood")
        return old, None
    return old, f"{max(size)}x{min(size)}"


def _flat(steps: list[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the steps of a pipeline, and those inside the augmentation of versions before 1.0."""
    for step in steps:
        if isinstance(step, Mapping):
            yield step
            inner = step.get("transforms")
            if step.get("type") == "MultiScaleFlipAug" and isinstance(inner, (list, tuple)):
                yield from (item for item in inner if isinstance(item, Mapping))


def _crop(values: Mapping[str, Any]) -> Sides | None:
    """Return the training crop, which has its height before its width."""
    crop = whole_pair(values.get("crop_size"))
    if not crop or not all(9 <= side <= 4097 for side in crop):
        return None
    height, width = crop
    return width if width == height else f"{width}x{height}"


def data_set(values: Mapping[str, Any]) -> str | None:
    """Return the type of the data set that a configuration's variables name."""
    named = [values.get("dataset_type"), *(at(values, *path, "type") for path in DATA_SETS)]
    return next((k for k in named if isinstance(k, str) and k not in WRAPPERS), None)


def card_of(values: Mapping[str, Any]) -> str | None:
    """Return the shipped card of the data set that a configuration's variables name, if any."""
    card = CARDS.get(data_set(values) or "")
    if card == "cocostuff164k" and "10k" in str(values.get("data_root")):
        card = "cocostuff10k"
    return card if card in shipped() else None


def configured_card(config: str) -> str | None:
    """Return the shipped card of the data set that a configuration's text names, if any."""
    return card_of(variables(config))


def configured_classes(config: str) -> tuple[str, ...] | None:
    """Return the class names that a configuration's text gives its data set (metainfo), if any."""
    values = variables(config)
    places = [(*path, "metainfo", "classes") for path in DATA_SETS]
    places += [(*path, "classes") for path in DATA_SETS]
    for path in (*places, ("metainfo", "classes")):
        names = at(values, *path)
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None

"""What the text of an mmsegmentation configuration says of its test: windows, stride, size.

The text is Python. It is parsed, never run: literals, dict(...) and the names of its own variables
are understood, everything else counts as unknown.
Sources: mmsegmentation's configs/_base_/datasets and models (1.x), and those of its versions before
1.0, whose test pipeline has a MultiScaleFlipAug.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psp.errors import PspError
from psp.model.procedure import Published

LONGEST = 1 << 20  # characters of a configuration
UNKNOWN = object()
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


@dataclass(frozen=True)
class ConfiguredTest:
    """How a configuration tests, the side of its training crop if square, and what is unknown."""

    procedure: Published
    crop: int | None = None
    remarks: tuple[str, ...] = ()


def read_test(config: str) -> ConfiguredTest:
    """Return what a configuration's text says of the test. Without one, what most have."""
    values = _variables(config)
    remarks: list[str] = []
    windows, stride = _windows(_at(values, ("model", "test_cfg")), remarks)
    old, resize = _resize(_pipeline(values), remarks)
    if _at(values, ("model", "data_preprocessor", "test_cfg")):
        remarks.append("pictures are not padded as it pads them in its test")
    name = "mmseg-0.x" if old else "mmseg"
    try:
        procedure = Published(name, windows, stride, resize)
    except PspError as error:
        remarks.append(f"its test settings are not used: {error}")
        procedure = Published(name, "whole")
    return ConfiguredTest(procedure, _crop(values), tuple(remarks))


def config_beside(weights: Path) -> tuple[str, str]:
    """Return the text and the name of the configuration in a checkpoint's folder, or empty texts.

    mmsegmentation writes it there while it trains. Several that differ decide nothing.
    """
    found: dict[str, str] = {}
    for path in sorted(weights.parent.glob("*.py")):
        try:
            if path.is_file() and path.stat().st_size <= LONGEST:
                text = path.read_text(encoding="utf-8")
                found |= {text: path.name} if "PSPHead" in text else {}
        except (OSError, UnicodeDecodeError):
            continue  # it is not one of those
    return next(iter(found.items())) if len(found) == 1 else ("", "")


def _windows(test: Any, remarks: list[str]) -> tuple[str, str | None]:
    """Return the windows and the stride of test_cfg, which has heights before widths."""
    mode = test.get("mode") if isinstance(test, Mapping) else None
    if mode is None:
        remarks.append("it does not say how it is tested: whole pictures are assumed")
    elif mode == "slide":
        crop, stride = _pair(test.get("crop_size")), _pair(test.get("stride"))
        if crop and stride:
            return f"{crop[1]}x{crop[0]}", f"{stride[1]}x{stride[0]}"
        remarks.append("its windows are not understood: whole pictures are assumed")
    elif mode != "whole":
        remarks.append("its mode of testing is not understood: whole pictures are assumed")
    return "whole", None


def _pipeline(values: Mapping[str, Any]) -> list[Any]:
    for path in PIPELINES:
        if isinstance(steps := _at(values, path), (list, tuple)):
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
        elif kind not in HARMLESS:
            name = kind if isinstance(kind, str) else "without a name"
            remarks.append(f"a step of its test is not done: {name[:80]}")
    size = _pair(scale)
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


def _crop(values: Mapping[str, Any]) -> int | None:
    """Return the side of the training crop, if it is square."""
    crop = _pair(values.get("crop_size"))
    return crop[0] if crop and crop[0] == crop[1] and 9 <= crop[0] <= 4097 else None


def _pair(value: Any) -> tuple[int, int] | None:
    """Return two whole numbers, or one twice; None for anything else."""
    if type(value) is int:
        value = (value, value)
    if not isinstance(value, (tuple, list)) or [type(item) for item in value] != [int, int]:
        return None
    return (value[0], value[1]) if min(value) > 0 else None


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _variables(config: str) -> dict[str, Any]:
    """Return the values of a configuration's variables; those that are unknown are left out."""
    try:
        tree = ast.parse(config if len(config) <= LONGEST else "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    values: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            values[statement.targets[0].id] = _value(statement.value, values)
    return {name: value for name, value in values.items() if value is not UNKNOWN}


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """Return the value of an expression; UNKNOWN where it would have to be computed."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id, UNKNOWN)
    if isinstance(node, (ast.Tuple, ast.List)):
        return [_value(item, known) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {
            key.value: _value(value, known)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {item.arg: _value(item.value, known) for item in node.keywords if item.arg}
    return UNKNOWN

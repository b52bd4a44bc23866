"""Files of tensors that others wrote. Nothing in such a file is executed."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from psp.errors import PspError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return a state dict (.pth, .pt or .safetensors), without DistributedDataParallel's prefix.

    Raises PspError for a file that is missing, damaged, holds something else, or would run code.
    """
    return read_checkpoint(path)[0]


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return `read_tensors` of a file, and what else it holds beside the state dict."""
    beside: dict[str, Any] = {}
    try:
        value: Any
        if path.suffix == ".safetensors":
            value = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on the age of a pickle, beside the error
                value = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        first = str(error).partition("\n")[0]
        reason = f" ({first.rstrip('.')})" if " " in first else ""
        raise PspError(f"{path}: damaged, or no weights file{reason}.") from None
    except Exception as error:  # pickle.UnpicklingError, for a file that would run code
        raise PspError(f"{path}: {_refusal(path, str(error))}") from None
    for key in ("state_dict", "model"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            beside = {str(name): part for name, part in value.items() if name != key}
            value = value[key]
    if not isinstance(value, dict) or not value:
        raise PspError(f"{path}: holds no dictionary of tensors.")
    if not all(isinstance(tensor, Tensor) for tensor in value.values()):
        raise PspError(f"{path}: holds no dictionary of tensors.")
    return {str(name).removeprefix("module."): t for name, t in value.items()}, beside


def mismatches(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return where `given` has not exactly the names and shapes of `expected`, a line for each."""
    problems = [f"{name} is missing" for name in expected if name not in given]
    problems += [f"{name} is none of its tensors" for name in given if name not in expected]
    problems += [
        f"{name} is {tuple(given[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    return problems


def first_of(problems: list[str]) -> str:
    """Return the first problem and how many more there are."""
    return problems[0] + (f" and {len(problems) - 1} more" if problems[1:] else "")


def _refusal(path: Path, error: str) -> str:
    """Say why torch would not load a file: torch's own text advises to run its code."""
    with path.open("rb") as file:
        start = file.read(8)
    if not start.startswith((b"PK", b"\x80")):
        return f"no weights file (it starts with {start!r})."
    named = re.search(r"GLOBAL ([\w.]+)", error)
    return (
        f"refused: it holds {named[1] if named else 'more than tensors'}, and loading that could "
        "run code. Where you trust it, save its state dict alone and give that"
    )

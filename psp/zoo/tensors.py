"""Reading tensors from files of other programs, without running any code in them."""

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
    """Return the state dict in a .pth, .pt or .safetensors file, with the prefix "module." removed.

    Raises PspError for a file that is missing, damaged, would run code, or has other contents.
    """
    return read_checkpoint(path)[0]


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the same as `read_tensors`, and what else is in the file, by key."""
    extras: dict[str, Any] = {}
    try:
        value: Any
        if path.suffix == ".safetensors":
            value = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about old pickles
                value = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        first = str(error).partition("\n")[0]
        reason = f" ({first.rstrip('.')})" if " " in first else ""
        raise PspError(f"{path}: damaged, or not a weights file{reason}.") from None
    except Exception as error:  # pickle.UnpicklingError, for a file that would run code
        raise PspError(f"{path}: {_refusal(path, str(error))}") from None
    for key in ("state_dict", "model"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            extras = {str(name): item for name, item in value.items() if name != key}
            value = value[key]
    if not isinstance(value, dict) or not value:
        raise PspError(f"{path}: not a dictionary of tensors.")
    if not all(isinstance(tensor, Tensor) for tensor in value.values()):
        raise PspError(f"{path}: not a dictionary of tensors.")
    return {str(name).removeprefix("module."): t for name, t in value.items()}, extras


def mismatches(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Return a line for each difference between the names and shapes of `given` and `expected`."""
    problems = [f"{name} is missing" for name in expected if name not in given]
    problems += [f"{name} is not one of its tensors" for name in given if name not in expected]
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
    """Return why torch refused to load a file. Its own message advises to allow running code."""
    with path.open("rb") as file:
        start = file.read(8)
    if not start.startswith((b"PK", b"\x80")):
        return f"not a weights file (it starts with {start!r})."
    match = re.search(r"GLOBAL ([\w.]+)", error)
    return (
        f"refused: it contains {match[1] if match else 'more than tensors'}, and loading that "
        "could run code. If you trust it, save its state dict alone with torch.save and import that"
    )

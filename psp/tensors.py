"""Files of tensors that others wrote. Nothing in such a file is executed."""

import re
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
    try:
        value: Any
        if path.suffix == ".safetensors":
            value = load_file(path)
        else:
            value = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PspError(f"{path}: damaged, or no weights file: {text}") from None
    except Exception as error:  # pickle.UnpicklingError, for a file that would run code
        raise PspError(f"{path}: {_refusal(path, str(error))}") from None
    for key in ("state_dict", "model"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    if not isinstance(value, dict) or not value:
        raise PspError(f"{path}: holds no dictionary of tensors.")
    if not all(isinstance(tensor, Tensor) for tensor in value.values()):
        raise PspError(f"{path}: holds no dictionary of tensors.")
    return {str(name).removeprefix("module."): tensor for name, tensor in value.items()}


def _refusal(path: Path, error: str) -> str:
    """Say why torch would not load a file: torch's own text advises to run its code."""
    with path.open("rb") as file:
        start = file.read(8)
    if not start.startswith((b"PK", b"\x80")):
        return f"no weights file (it starts with {start!r})."
    thing = re.search(r"GLOBAL (\S+)", error)
    return (
        f"refused: it holds {thing[1] if thing else 'more than tensors'}, which could run code. "
        "Save its state_dict alone, and give that file."
    )

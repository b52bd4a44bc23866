"""Files of tensors that others wrote. Nothing in such a file is executed."""

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
        raise PspError(f"{path}: refused: {str(error).splitlines()[0]}") from None
    for key in ("state_dict", "model"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    if not isinstance(value, dict) or not value:
        raise PspError(f"{path}: holds no dictionary of tensors.")
    if not all(isinstance(tensor, Tensor) for tensor in value.values()):
        raise PspError(f"{path}: holds no dictionary of tensors.")
    return {str(name).removeprefix("module."): tensor for name, tensor in value.items()}

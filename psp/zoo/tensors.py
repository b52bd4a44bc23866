"""Reading tensors from files of other programs, without running any code in them."""

import codecs
import re
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from psp.errors import PspError
from psp.files import placeholder

# Keys under which programs keep a state dict, and what they put before the names in it.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
PREFIXES = ("module.", "model.", "net.", "network.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a .pth, .pt or .safetensors file, without a prefix of all
    its names such as "module.".

    Raises PspError for a file that is missing, damaged, would run code, or has other contents.
    """
    return read_checkpoint(path)[0]


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the same as `read_tensors`, and what else is in the file, by key."""
    value = _load(path)
    extras: dict[str, Any] = {}
    while isinstance(value, dict) and not _is_state(value):
        key = next((key for key in WRAPPERS if isinstance(value.get(key), dict)), None)
        if key is None:
            keys = ", ".join(str(key) for key in list(value)[:8])
            raise PspError(
                f"{path}: no dictionary of tensors: it holds the keys {keys or '(none)'}. Save the "
                "part with the weights alone, with torch.save, and give that"
            )
        extras |= {str(name): item for name, item in value.items() if name != key}
        value = value[key]
    if not isinstance(value, dict):
        raise PspError(f"{path}: not a dictionary of tensors, but a {type(value).__name__}.")
    return _without_prefix({str(name): tensor for name, tensor in value.items()}), extras


def _is_state(value: dict[Any, Any]) -> bool:
    return bool(value) and all(isinstance(tensor, Tensor) for tensor in value.values())


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove what programs put before all names: module. (DistributedDataParallel), model., net."""
    names = {name: name.removeprefix("module.") for name in tensors}
    while prefix := next(
        (p for p in PREFIXES if all(name.startswith(p) for name in names.values())), None
    ):
        names = {old: name.removeprefix(prefix) for old, name in names.items()}
    return {names[old]: tensor for old, tensor in tensors.items()}


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_harmless()):
            warnings.simplefilter("ignore")  # about old pickles
            return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        if path.is_file() and (what := _placeholder(path)):
            raise PspError(f"{path}: {what}") from None
        first = str(error).partition("\n")[0]
        reason = f" ({first.rstrip('.')})" if " " in first else ""
        raise PspError(f"{path}: damaged, or not a weights file{reason}.") from None
    except Exception as error:  # pickle.UnpicklingError, for a file that would run code
        raise PspError(f"{path}: {_placeholder(path) or _refusal(path, str(error))}") from None


def _placeholder(path: Path) -> str | None:
    with path.open("rb") as file:
        return placeholder(file.read(100))


class Record(dict[Any, Any]):
    """Stands for a small record of another program, which is read but never asked for anything."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(arguments=arguments)

    def __setstate__(self, state: Any) -> None:
        self["state"] = state


# Records that training programs save beside their weights. They are data alone: what is named here
# becomes a `Record`, and nothing of the programs is imported.
RECORDS = (
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "datetime.datetime",
    "datetime.timedelta",
    "easydict.EasyDict",
    "yacs.config.CfgNode",
    "omegaconf.dictconfig.DictConfig",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "mmengine.logging.history_buffer.HistoryBuffer",
)


@cache
def _harmless() -> list[Any]:
    """Return what a pickle may name besides tensors: numpy's numbers and arrays, and records.

    Each is a constructor of plain data; torch's restricted unpickler refuses all others.
    """
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdSU"}
    numpy = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    numpy += [(array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    records = [(type("Record", (Record,), {}), name) for name in RECORDS]
    return [*numpy, *records, *kinds, np.dtype, np.ndarray, (codecs.encode, "_codecs.encode")]


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

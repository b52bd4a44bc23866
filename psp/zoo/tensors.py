"""Reading tensors from files of other programs, without running any code in them."""

import codecs
import re
import warnings
from collections import OrderedDict
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
from psp.files import open_regular
from psp.model.foreign import what_it_is
from psp.zoo.pickles import check_pickles, check_tensors

# Keys under which programs keep a state dict: the first that is there counts, averages come last.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "ema_state_dict",
    "model_ema",
    "ema",
    "params_ema",
)
# Beginnings of names of tensors that are no part of a network: of losses, scores, averages.
BESIDE = ("criterion", "loss", "metric", "train_", "val_", "valid_", "test_", "ema", "teacher")


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
    seen: set[int] = set()  # a dictionary may hold itself
    while isinstance(value, dict) and not _is_state(value):
        seen.add(id(value))
        key = _state_key(value, path)
        if id(value[key]) in seen:
            raise PspError(f"{path}: no dictionary of tensors, but one that holds itself.")
        extras |= {str(name): item for name, item in value.items() if name != key}
        value = value[key]
    if not isinstance(value, dict):
        raise PspError(f"{path}: not a dictionary of tensors, but a {type(value).__name__}.")
    tensors = {
        str(name): tensor if isinstance(tensor, Tensor) else torch.from_numpy(np.array(tensor))
        for name, tensor in value.items()
    }
    check_tensors(tensors, path)
    return _without_prefix(tensors, extras), extras


def other_states(extras: Mapping[str, Any]) -> list[str]:
    """Return the keys of a checkpoint's other dictionaries of tensors, such as averaged weights."""
    return [key for key, value in extras.items() if isinstance(value, dict) and _is_state(value)]


def _state_key(value: dict[Any, Any], path: Path) -> Any:
    """Return the key of the weights. Raises PspError, which names the keys, if that is unclear."""
    for key in WRAPPERS:
        if isinstance(value.get(key), dict) and value[key]:
            return key
    states = [key for key, item in value.items() if isinstance(item, dict) and _is_state(item)]
    if len(states) == 1:
        return states[0]
    keys = ", ".join(str(key) for key in (states or list(value))[:8])
    what = "several dictionaries of tensors, under" if states else "no dictionary of tensors, but"
    raise PspError(
        f"{path}: it holds {what} the keys {keys or '(none)'}. Save the part with the weights "
        "alone, with torch.save, and give that"
    )


def _is_state(value: dict[Any, Any]) -> bool:
    return bool(value) and (
        all(isinstance(tensor, Tensor) for tensor in value.values())
        or all(isinstance(array, np.ndarray) for array in value.values())
    )


def _without_prefix(tensors: dict[str, Tensor], extras: dict[str, Any]) -> dict[str, Tensor]:
    """Remove what programs put before all names: module. (DistributedDataParallel), model., net.

    Also _orig_mod., which torch.compile puts anywhere. Tensors beside the network, such as those of
    a loss, go to `extras`.
    """
    names = {name: name.replace("_orig_mod.", "") for name in tensors}
    while True:
        inside = {old: name for old, name in names.items() if not name.startswith(BESIDE)}
        firsts = {name.partition(".")[0] for name in inside.values()}
        if len(firsts) != 1 or not all("." in name for name in inside.values()):
            break
        extras |= {old: tensors[old] for old in names.keys() - inside.keys()}
        names = {old: name.partition(".")[2] for old, name in inside.items()}
    return {name: tensors[old] for old, name in names.items()}


def _load(path: Path) -> Any:
    try:
        if path.exists():
            open_regular(path).close()  # else it would never end
        if path.suffix == ".safetensors":
            return load_file(path)
        check_pickles(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_harmless()):
            warnings.simplefilter("ignore")  # about old pickles
            return torch.load(path, map_location="cpu", weights_only=True)
    except PspError:
        raise
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        if path.is_file() and (what := what_it_is(path)):
            raise PspError(f"{path}: {what}") from None
        first = str(error).partition("\n")[0]
        reason = f" ({first.rstrip('.')})" if " " in first else ""
        raise PspError(f"{path}: damaged, or not a weights file{reason}.") from None
    except Exception as error:  # pickle.UnpicklingError, for a file that would run code
        raise PspError(f"{path}: {what_it_is(path) or _refusal(path, str(error))}") from None


class Record(dict[Any, Any]):
    """Stands for a small record of another program, which is read but never asked for anything."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(arguments=arguments)

    def __setstate__(self, state: Any) -> None:
        self["state"] = state


class Entries:
    """Stands for a kind of dict: what is made of it is an OrderedDict, as torch fills no others."""

    def __new__(cls, *arguments: Any) -> Any:
        """Return an empty dictionary."""
        return OrderedDict()


class Items:
    """Stands for a kind of list: what is made of it is a list."""

    def __new__(cls, *arguments: Any) -> Any:
        """Return a list without its items, which follow."""
        return []


# Records that training programs save beside their weights. They are data alone: what is named here
# becomes a `Record`, and nothing of the programs is imported.
RECORDS = (
    "argparse.Namespace",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "ml_collections.config_dict.config_dict.ConfigDict",
    "mmcv.utils.config.Config",
    "mmengine.config.config.Config",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "omegaconf.nodes.BooleanNode",
    "omegaconf.nodes.FloatNode",
    "omegaconf.nodes.IntegerNode",
    "omegaconf.nodes.StringNode",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "types.SimpleNamespace",
    "typing.Any",
    "uuid.UUID",
)
DICTIONARIES = (
    "addict.addict.Dict",
    "box.box.Box",
    "collections.defaultdict",
    "detectron2.config.config.CfgNode",
    "easydict.EasyDict",
    "fvcore.common.config.CfgNode",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "munch.Munch",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "yacs.config.CfgNode",
)
LISTS = ("collections.deque",)


@cache
def _harmless() -> list[Any]:
    """Return what a pickle may name besides tensors: numpy's numbers and arrays, and records.

    Each is a constructor of plain data; torch's restricted unpickler refuses all others.
    """
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdSU"}
    numpy = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    numpy += [(array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    kinds_of = ((Record, RECORDS), (Entries, DICTIONARIES), (Items, LISTS))
    records = [(type(k.__name__, (k,), {}), name) for k, names in kinds_of for name in names]
    plain = [list, dict, int, float, str, bool, tuple, set, frozenset]  # of defaultdicts
    arrays = [np.dtype, np.ndarray, (codecs.encode, "_codecs.encode")]
    return [*numpy, *arrays, *records, *kinds, *plain]


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

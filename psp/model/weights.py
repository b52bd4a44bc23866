"""Weights files: safetensors that describe themselves.

One metadata key, "psp", holds sorted JSON (`Header`): architecture, classes with colors,
preprocessing, crop and base size, the step they come from and the data they were trained on. One
key, because several would be written in random order, and the same weights must give the same file.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from psp.errors import PspError
from psp.files import atomic_write
from psp.model.architecture import Architecture, architecture_from
from psp.model.foreign import CONVERT, is_torch, what_it_is
from psp.model.preprocessing import IMAGENET, Preprocessing
from psp.model.pspnet import PSPNet, build

FORMAT = "psp-weights"
VERSION = 1


@dataclass(frozen=True)
class Header:
    """What a weights file says of itself."""

    architecture: Architecture
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    dataset: str
    data: str  # fingerprint of the shards
    crop: int
    base_size: int | None
    step: int
    preprocessing: Preprocessing = IMAGENET
    max_side: int | None = None  # of the pictures trained on, where longer ones were shrunk to it
    source: str = ""  # of imported weights: what they were, the file's name and its SHA-256

    def to_json(self) -> str:
        """Return one line of sorted JSON; `_header_from` is its inverse."""
        value = asdict(self)
        if self.max_side is None:
            del value["max_side"]
        value |= {"format": FORMAT, "version": VERSION, "architecture": self.architecture.to_dict()}
        return json.dumps(value, sort_keys=True, ensure_ascii=False)


def save_weights(path: Path, state: Mapping[str, Tensor], header: Header) -> None:
    """Write a weights file, whole or not at all. The same tensors give the same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    data = save(tensors, metadata={"psp": header.to_json()})
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def load_network(path: Path) -> tuple[PSPNet, Header]:
    """Return the network in a weights file, in evaluation mode on the CPU, and its header.

    Raises PspError for a file that is not psp weights, is damaged, or does not fit its own header.
    """
    header, tensors = read_weights(path)
    with torch.device("meta"):  # no time spent on random values
        network = build(header.architecture)
    try:
        network.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise PspError(f"{path}: the tensors do not fit the file's own header: {first}") from None
    return network.eval(), header


def is_weights(path: Path) -> bool:
    """Whether a safetensors file says that psp wrote it."""
    try:
        with safe_open(path, framework="pt") as file:
            return "psp" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_header(path: Path) -> Header:
    """Return a weights file's header. Raises PspError as `read_weights`."""
    return _read(path, tensors=False)[0]


def read_weights(path: Path) -> tuple[Header, dict[str, Tensor]]:
    """Return a weights file's header and tensors. Raises PspError for another or a damaged file."""
    return _read(path, tensors=True)


def _read(path: Path, tensors: bool) -> tuple[Header, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("psp")
            if text is None:
                raise PspError(
                    f"{path}: a safetensors file, but not psp's own (it has no header of psp). "
                    f"{CONVERT.format(path=path)}"
                )
            header = _header_from(json.loads(text), path)
            # An open safetensors file has keys(), but cannot be iterated.
            names = file.keys() if tensors else []
            return header, {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise PspError(f"{path}: no such file.") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = what_it_is(path)
        if what is None and (is_torch(path) or path.suffix.lower() == ".caffemodel"):
            what = f"not psp weights. {CONVERT.format(path=path)}"
        raise PspError(f"{path}: {what or f'damaged, or not a weights file: {error}'}") from None


def _header_from(value: dict[str, Any], path: Path) -> Header:
    kind, version = value.pop("format"), value.pop("version")
    if kind != FORMAT or version > VERSION:
        raise PspError(
            f"{path}: {kind} {version}, this psp reads {FORMAT} up to {VERSION}: written by a "
            "newer psp? Upgrade psp."
        )
    _refuse_unknown(value, Header, path)
    _refuse_unknown(value["preprocessing"], Preprocessing, path)
    try:
        value["architecture"] = architecture_from(value["architecture"])
    except PspError as error:
        raise PspError(f"{path}: {error}") from None
    value["classes"] = tuple(value["classes"])
    value["palette"] = tuple((r, g, b) for r, g, b in value["palette"])
    value["preprocessing"] = Preprocessing(
        **{key: tuple(numbers) for key, numbers in value["preprocessing"].items()}
    )
    header = Header(**value)
    if not len(header.classes) == len(header.palette) == header.architecture.classes:
        raise ValueError("its header names another number of classes than the network has")
    sizes = (header.base_size, header.max_side)
    if not isinstance(header.crop, int) or not all(isinstance(n, int | None) for n in sizes):
        raise ValueError("crop, base_size and max_side in its header must be whole numbers")
    return header


def _refuse_unknown(
    value: Mapping[str, Any], record: type[Header | Preprocessing], path: Path
) -> None:
    """Raise PspError for a key that this version does not know: it must not be ignored."""
    unknown = sorted(set(value) - {item.name for item in fields(record)})
    if unknown:
        raise PspError(
            f"{path}: unknown key '{unknown[0]}' in its header: written by a newer psp? Upgrade "
            "psp."
        )

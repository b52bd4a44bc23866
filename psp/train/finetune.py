"""Starting from a trained model: all of its layers but the classifiers, and the rows of classifiers
that stand for classes of the same name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.pspnet import PSPNet
from psp.model.weights import Header, read_header, read_weights
from psp.settings.config import TrainConfig
from psp.settings.network import NetworkSettings
from psp.settings.section import show

# Where two architectures differ in one of these fields, the part's tensors mean different things.
PARTS = {
    "backbone": (
        "backbone",
        "stem",
        "stem_widths",
        "stride_in",
        "first_dilation",
        "basic_dilation",
    ),
    "head": (
        "backbone",
        "bins",
        "pooling",
        "reduce",
        "level_width",
        "head_width",
        "align_corners",
    ),
    "aux": ("backbone", "aux", "aux_width"),
}
# What published weights differ in: a run takes these from the model that it starts from, as tensors
# of the same shapes would mean something else without them. Most of them are settings, too.
DETAILS = (
    "stem_widths",
    "stride_in",
    "first_dilation",
    "basic_dilation",
    "level_width",
    "head_width",
    "aux_width",
    "align_corners",
)
# The heads' layers before the classifiers, in words; as tensors they are PART.conv and PART.bn.
HEADS = {"head": "pyramid with its convolution", "aux": "auxiliary convolution"}
NAMED = 8  # classes that a remark names


@dataclass(frozen=True)
class Beginning:
    """What a network started from.

    `remarks` are sentences for people. `reused` has the heads' layers that come whole from a model,
    such as head.conv. `record` is for the run's config.json.
    """

    remarks: tuple[str, ...]
    reused: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


def follow(config: TrainConfig, model: Path, given: Collection[str]) -> TrainConfig:
    """Return the settings with the network of a model, but for those that are `given`.

    Raises PspError for a given backbone, stem or detail of them that is not the model's.
    """
    theirs = read_header(model).architecture
    settable = (name for name in DETAILS if name in NetworkSettings.declared)
    for name in ("backbone", "stem", *settable):
        ours, other = getattr(config.network, name), getattr(theirs, name)
        if name in given and ours != other:
            raise PspError(
                f"{name}={show(ours)}: --init {config.start.init} is a network with "
                f"{name}={show(other)}. Leave {name} out, or start from another model"
            )
    names = [name for name in NetworkSettings.declared if name not in given]
    return config.changed(**{name: getattr(theirs, name) for name in names})


def from_model(network: PSPNet, path: Path, classes: tuple[str, ...]) -> Beginning:
    """Take the parts of a psp model that have the same architecture, but for the classifiers.

    Of a classifier, the rows (weights and bias) of classes with equal names are copied; the others
    stay as they are in `network`. Raises PspError if the backbone does not fit.
    """
    header, tensors = read_weights(path)
    fitting = _fitting(network.spec, header.architecture, path)
    own = network.state_dict()
    taken = {}
    for name, tensor in tensors.items():
        if name.partition(".")[0] in fitting:
            is_row = ".classifier." in name
            taken[name] = _rows(own[name], tensor, classes, header.classes) if is_row else tensor
    network.load_state_dict({**own, **taken})
    return _said(network, header, path, classes, fitting)


def _fitting(ours: Architecture, theirs: Architecture, path: Path) -> list[str]:
    """Return the parts of a model that can be taken; raise PspError if the backbone cannot."""
    fitting = [
        part
        for part, fields in PARTS.items()
        if all(getattr(ours, field) == getattr(theirs, field) for field in fields)
        and (part != "aux" or ours.aux)
    ]
    if "backbone" not in fitting:
        field = next(n for n in PARTS["backbone"] if getattr(ours, n) != getattr(theirs, n))
        raise PspError(
            f"--init {path}: its backbone ({theirs.backbone}, stem {theirs.stem}) does not fit "
            f"{ours.backbone}, stem {ours.stem}: {field} differs. Give it "
            f"--backbone {theirs.backbone} --set stem={theirs.stem}"
        )
    return fitting


def _rows(own: Tensor, given: Tensor, classes: tuple[str, ...], theirs: tuple[str, ...]) -> Tensor:
    """Return a classifier's weights (classes, width, 1, 1) or bias (classes,): rows of classes that
    the model has too are the model's."""
    mixed = own.clone()
    pairs = [(row, theirs.index(name)) for row, name in enumerate(classes) if name in theirs]
    if pairs:
        rows, sources = map(torch.tensor, zip(*pairs, strict=True))
        mixed[rows] = given[sources].to(mixed.dtype)
    return mixed


def _said(
    network: PSPNet, header: Header, path: Path, classes: tuple[str, ...], fitting: list[str]
) -> Beginning:
    """Return what was taken and what is new, in words and as a record."""
    heads = [part for part in HEADS if part == "head" or network.aux is not None]
    old = [part for part in heads if part in fitting]
    new = [part for part in heads if part not in fitting]
    known = [name for name in classes if name in header.classes] if old else []
    fresh = [name for name in classes if name not in known]
    whole = ("conv", "bn") if fresh else ("conv", "bn", "classifier")
    reused = tuple(f"{part}.{layer}" for part in old for layer in whole)
    stages = list(network.backbone.stages)
    of_model = f"{header.architecture.backbone} of {header.dataset or 'an imported network'}"
    taken = [f"backbone ({stages[0]} to {stages[-1]})", *(HEADS[part] for part in old)]
    begun = [HEADS[part] for part in new]
    if known:
        which = "classifiers" if len(old) == len(heads) else f"classifier of {HEADS[old[0]]}"
        taken.append(f"rows of the {which} for {_classes(known)}")
    if fresh:
        begun.append(f"rows of the classifiers for {_classes(fresh)}")
    elif new:
        begun.append("its classifier")
    unused = [name for name in header.classes if name not in classes]
    remarks = [
        f"initial weights from {path} ({of_model}, {len(header.classes)} classes)",
        f"reused: {'; '.join(taken)}",
        f"new: {'; '.join(begun) or 'nothing'}",
    ]
    if header.procedure and header.procedure.name != "torch":
        remarks.append(
            f"the model was published with the test procedure {header.procedure.description}; this "
            "run's own is torch, which --procedure can change in psp evaluate and predict"
        )
    if header.max_side:
        remarks.append(
            f"the model was trained on pictures shrunk to a long side of {header.max_side} at most"
        )
    if unused:
        remarks.append(f"not used of the model: rows for {_classes(unused)}")
    record = {
        "from": str(path.resolve()),
        "dataset": header.dataset,
        "step": header.step,
        "reused": {"backbone": stages, "heads": list(reused), "classes": known},
        "new": {"heads": [f"{part}.{layer}" for part in new for layer in whole], "classes": fresh},
    }
    return Beginning(tuple(remarks), reused, record)


def _classes(names: list[str]) -> str:
    """Return classes by name, the first few of many."""
    shown = ", ".join(names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} {'class' if len(names) == 1 else 'classes'}: {shown}{more}"

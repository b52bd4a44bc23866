"""What a network starts from: random values, ImageNet weights, or a model of ours.

Strict: every tensor of the source is used or named in a remark, and a source that does not fit is
an error.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from psp.errors import PspError, nearest
from psp.model.architecture import Architecture
from psp.model.backbones.backbone import InitialWeights, find_backbone
from psp.model.preprocessing import IMAGENET, Preprocessing
from psp.model.pspnet import PSPNet
from psp.model.weights import is_weights, read_header, read_weights
from psp.names import inside
from psp.runs import CONFIG, RUNS, run_folder
from psp.settings.network import NetworkSettings
from psp.zoo.catalog import entries
from psp.zoo.fetch import fetch_file, torch_hub_path
from psp.zoo.find import find_model, is_published
from psp.zoo.tensors import first_of, mismatches, read_tensors

WAYS_OUT = "give a weights file with --init PATH, or start from random weights with --init none"


# What no setting names, and published weights differ in: a run takes these from the model that it
# starts from, as tensors of the same shapes would mean something else without them.
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


def inherit(spec: Architecture, init: str) -> tuple[Architecture, Preprocessing]:
    """Return `spec` with the details of the psp model that `init` names, and its preprocessing.

    For all other initial weights: `spec` as it is, and the preprocessing that they were trained
    with, or ImageNet's if that is not known. Raises PspError for a damaged model.
    """
    fetched = _fetchable(spec, init)
    if fetched is not None:
        return spec, fetched.preprocessing
    path = _model_path(init)
    if path is None or not is_weights(path):
        return spec, IMAGENET
    header = read_header(path)
    details = {name: getattr(header.architecture, name) for name in DETAILS}
    return replace(spec, **details), header.preprocessing


def _fetchable(spec: Architecture, init: str) -> InitialWeights | None:
    """Return the weights of that name of an architecture's backbone, or None."""
    known = find_backbone(spec.backbone).initial_weights(spec)
    return next((weights for weights in known if weights.name == init), None)


def _model_path(init: str) -> Path | None:
    """Return the file that `init` names, a run's weights for a run; None if it names no model."""
    if init in ("none", "imagenet"):
        return None
    path = run_folder(init)
    return find_model(init).path if path.is_dir() or is_published(init) else path


def initialize(network: PSPNet, init: str, classes: tuple[str, ...]) -> list[str]:
    """Put initial values into `network`; return sentences that say which.

    `init` is none, the name of weights that the backbone knows (imagenet, imagenet-v2), a run
    folder, a psp weights file, the name of published weights, or a file of the backbone's trained
    as a classifier (.pth or .safetensors). Raises PspError when it is not there or does not fit.
    """
    if init == "none":
        return ["random initial weights"]
    weights = _fetchable(network.spec, init)
    if weights is not None:
        return _fetched(network, weights)
    path = _model_path(init)
    if path is None or not path.is_file():
        raise PspError(_not_found(network.spec, init))
    if is_weights(path):
        return [_from_model(network, path, classes)]
    try:
        tensors = read_tensors(path)
    except PspError as error:
        raise PspError(f"--init {error}") from None
    return [_load_backbone(network, tensors, str(path))]


def _not_found(spec: Architecture, init: str) -> str:
    """Return what `init` is not, and what there is instead."""
    backbone = find_backbone(spec.backbone)
    known = [weights.name for weights in backbone.initial_weights(spec)]
    if not init.startswith("imagenet"):
        return (
            f"--init {init}: no such run or file, and no published weights (see: psp models)."
            f"{nearest(init, [*known, *inside(RUNS, CONFIG), *entries()])} Or {WAYS_OUT}"
        )
    stems = [
        stem
        for stem in NetworkSettings.declared["stem"][1].choices
        if any(w.name == init for w in backbone.initial_weights(replace(spec, stem=stem)))
    ]
    return (
        f"--init {init}: there are no such weights for {spec.backbone} with stem={spec.stem} "
        f"(there are: {', '.join(known) or 'none'})."
        + "".join(f" Add --set stem={stem}, or" for stem in stems)
        + f" {WAYS_OUT}"
    )


def _fetched(network: PSPNet, weights: InitialWeights) -> list[str]:
    """Load weights of the backbone; fetch them if they are not where torch.hub keeps them."""
    path = torch_hub_path(weights.file)
    remarks: list[str] = []
    try:
        fetch_file(weights.address, path, weights.sha256, remarks.append)
    except PspError as error:
        raise PspError(
            f"init={weights.name}: {error} Bring the file from elsewhere, or {WAYS_OUT}"
        ) from None
    return [*remarks, _load_backbone(network, read_tensors(path), weights.title)]


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


def _from_model(network: PSPNet, path: Path, classes: tuple[str, ...]) -> str:
    """Take the parts of a psp model that have the same architecture; name the others.

    Classifiers are taken only from a model of the same classes. The backbone must fit.
    """
    header, tensors = read_weights(path)
    ours, theirs = network.spec, header.architecture
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
    taken = {
        name: tensor
        for name, tensor in tensors.items()
        if name.partition(".")[0] in fitting
        and (".classifier." not in name or header.classes == classes)
    }
    own = network.state_dict()
    network.load_state_dict({**own, **taken})
    new = sorted({name.rpartition(".")[0] for name in own if name not in taken})
    aside = sorted({name.partition(".")[0] for name in tensors if name not in taken})
    remarks = f"; new: {_summary(new)}" if new else ""
    remarks += f"; not taken: part of its {', '.join(aside)}" if aside else ""
    if header.max_side:
        remarks += f"; trained on pictures shrunk to a long side of {header.max_side} at most"
    return f"initial weights from {path}{remarks}"


def _summary(names: list[str]) -> str:
    return (
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    )


def _load_backbone(network: PSPNet, tensors: Mapping[str, Tensor], source: str) -> str:
    """Load a trained classifier's tensors into the backbone; its last layers are left aside."""
    own = network.backbone.state_dict()
    # Files of the first torchvision versions lack batch norm's step counters.
    given = {n: t for n, t in own.items() if n.endswith("num_batches_tracked")}
    given |= network.backbone.own_names(tensors)
    problems = mismatches(given, own)
    if problems:
        raise PspError(
            f"{source}: not the weights of a {network.spec.backbone} with the "
            f"{network.spec.stem} stem: {first_of(problems)}."
        )
    network.backbone.load_state_dict(given)
    return f"backbone from {source}; new: pyramid and classifiers"

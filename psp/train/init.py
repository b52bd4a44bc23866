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
from psp.model.preprocessing import IMAGENET, Preprocessing
from psp.model.pspnet import PSPNet
from psp.model.weights import is_weights, read_header, read_weights
from psp.zoo.catalog import entries
from psp.zoo.fetch import digits_in_name, fetch_file, torch_hub_path
from psp.zoo.find import find_model, is_published
from psp.zoo.tensors import first_of, mismatches, read_tensors

WAYS_OUT = "give a weights file with --init PATH, or start from random weights with --init none"
CLASSIFIER = ("fc.weight", "fc.bias")  # of an ImageNet network; the only tensors left aside


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

    For all other initial weights: `spec` as it is, and ImageNet's preprocessing. Raises PspError
    for a damaged model.
    """
    path = _model_path(init)
    if path is None or not is_weights(path):
        return spec, IMAGENET
    header = read_header(path)
    details = {name: getattr(header.architecture, name) for name in DETAILS}
    return replace(spec, **details), header.preprocessing


def _model_path(init: str) -> Path | None:
    """Return the file that `init` names, a run's weights for a run; None if it names no model."""
    if init in ("none", "imagenet"):
        return None
    path = Path(init)
    return find_model(init).path if path.is_dir() or is_published(init) else path


def initialize(network: PSPNet, init: str, classes: tuple[str, ...]) -> list[str]:
    """Put initial values into `network`; return sentences that say which.

    `init` is none, imagenet, a run folder, a psp weights file, the name of published weights, or
    the state of a torchvision ResNet (.pth or .safetensors). Raises PspError when it is not there
    or does not fit.
    """
    if init == "none":
        return ["random initial weights"]
    if init == "imagenet":
        return _imagenet(network)
    path = _model_path(init)
    if path is None or not path.is_file():
        raise PspError(
            f"--init {init}: no such file, and no published weights (see: psp models)."
            f"{nearest(init, entries())} Or {WAYS_OUT}"
        )
    if is_weights(path):
        return [_from_model(network, path, classes)]
    try:
        tensors = read_tensors(path)
    except PspError as error:
        raise PspError(f"--init {error}") from None
    return [_load_backbone(network, tensors, str(path))]


# timm's ResNets of the paper's own topology (three 3x3 convolutions of 64, 64, 128, stride in the
# 3x3), trained by gluon on ImageNet; Apache-2.0.
TIMM = "https://huggingface.co/timm/{name}/resolve/main/model.safetensors"
DEEP = {"resnet50": "resnet50s", "resnet101": "resnet101s", "resnet152": "resnet152s"}


def _imagenet(network: PSPNet) -> list[str]:
    """Load the ImageNet weights that belong to the stem; fetch them if they are not there yet.

    For the 7x7 stem torchvision's (the first version, trained as in the paper's time), for the deep
    one timm's. They are kept where torch.hub keeps them.
    """
    backbone = network.spec.backbone
    if network.spec.stem == "deep":
        if backbone not in DEEP:
            raise PspError(
                f"init=imagenet: there are no ImageNet weights for {backbone} with the deep stem "
                f"(there are for {', '.join(DEEP)}). Add --set stem=7x7, or {WAYS_OUT}"
            )
        name = f"{DEEP[backbone]}.gluon_in1k"
        address, path = TIMM.format(name=name), torch_hub_path(f"{name}.safetensors")
        title = f"timm's {name}"
    else:
        from torchvision import models  # here, as it takes a second and most runs do without

        if backbone not in models.list_models():
            raise PspError(f"init=imagenet: torchvision has no {backbone}; {WAYS_OUT}")
        address = models.get_model_weights(backbone).IMAGENET1K_V1.url
        path = torch_hub_path(address.rpartition("/")[2])
        title = f"torchvision's {backbone} IMAGENET1K_V1"
    remarks: list[str] = []
    try:
        fetch_file(address, path, digits_in_name(address), remarks.append)
    except PspError as error:
        raise PspError(
            f"init=imagenet: {error} Bring the file from elsewhere, or {WAYS_OUT}"
        ) from None
    return [*remarks, _load_backbone(network, read_tensors(path), title)]


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
    return f"initial weights from {path}{remarks}"


# Where timm's deep stem, conv1.0 to conv1.6 and bn1, lies in ours.
TIMM_STEM = {
    "conv1.0": "conv1",
    "conv1.1": "bn1",
    "conv1.3": "conv2",
    "conv1.4": "bn2",
    "conv1.6": "conv3",
    "bn1": "bn3",
}


def _named(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors by our names: torchvision's are the same, timm's deep stem is not."""
    if "conv1.0.weight" not in tensors:
        return dict(tensors)
    found = {}
    for name, tensor in tensors.items():
        part, _, kind = name.rpartition(".")
        found[f"{TIMM_STEM.get(part, part)}.{kind}"] = tensor
    return found


def _summary(names: list[str]) -> str:
    return (
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
    )


def _load_backbone(network: PSPNet, tensors: Mapping[str, Tensor], source: str) -> str:
    """Load a ResNet's tensors into the backbone; only its classifier is left aside.

    The names are torchvision's, or timm's where the stem is deep.
    """
    own = network.backbone.state_dict()
    given = {name: tensor for name, tensor in _named(tensors).items() if name not in CLASSIFIER}
    # Files of the first torchvision versions lack batch norm's step counters.
    given = {n: t for n, t in own.items() if n.endswith("num_batches_tracked")} | given
    problems = mismatches(given, own)
    if problems:
        raise PspError(
            f"{source}: not the weights of a {network.spec.backbone} with the "
            f"{network.spec.stem} stem: {first_of(problems)}."
        )
    network.backbone.load_state_dict(given)
    return f"backbone from {source}; new: pyramid and classifiers"

"""What a network starts from: random values, ImageNet weights, or a model (finetune.py).

Strict: every tensor of the source is used or named in a remark, and a source that does not fit is
an error.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from psp.errors import PspError, nearest
from psp.events import Report, ignore
from psp.model.architecture import Architecture
from psp.model.backbones.backbone import InitialWeights, find_backbone
from psp.model.preprocessing import IMAGENET, Preprocessing
from psp.model.pspnet import PSPNet
from psp.model.weights import is_weights, read_header
from psp.names import inside
from psp.runs import CONFIG, RUNS, run_folder
from psp.settings.network import NetworkSettings
from psp.train.finetune import DETAILS, Beginning, from_model
from psp.zoo.catalog import entries
from psp.zoo.fetch import fetch_file, torch_hub_path
from psp.zoo.find import find_model, is_published
from psp.zoo.importers.importer import SavedNetwork
from psp.zoo.importers.registry import find_importer
from psp.zoo.tensors import first_of, mismatches, read_tensors

WAYS_OUT = "give a weights file with --init PATH, or start from random weights with --init none"


def inherit(spec: Architecture, init: str) -> tuple[Architecture, Preprocessing]:
    """Return `spec` with the details of the psp model that `init` names, and its preprocessing.

    For all other initial weights: `spec` as it is, and the preprocessing that they were trained
    with, or ImageNet's if that is not known. Raises PspError for a damaged model.
    """
    fetched = _fetchable(spec, init)
    if fetched is not None:
        return spec, fetched.preprocessing
    path = model_path(init)
    if path is None:
        return spec, IMAGENET
    header = read_header(path)
    details = {name: getattr(header.architecture, name) for name in DETAILS}
    return replace(spec, **details), header.preprocessing


def _fetchable(spec: Architecture, init: str) -> InitialWeights | None:
    """Return the weights of that name of an architecture's backbone, or None."""
    known = find_backbone(spec.backbone).initial_weights(spec)
    return next((weights for weights in known if weights.name == init), None)


def model_path(init: str, report: Report = ignore) -> Path | None:
    """Return the weights file of the psp model that `init` names; None if it names something else.

    A model is named as in all other commands. Published weights are fetched; `report` gets the
    events. Raises PspError for a run that has no weights yet, or a download that fails.
    """
    path = run_folder(init)
    if init in ("none", "imagenet"):
        return None
    if path.is_file():
        return path if is_weights(path) else None
    try:
        return find_model(init, report=report).path
    except PspError as error:
        if path.exists() or is_published(init):
            raise PspError(f"--init {error}") from None
        return None


def initialize(network: PSPNet, init: str, classes: tuple[str, ...]) -> Beginning:
    """Put initial values into `network`; return what they are.

    `init` is none, the name of weights that the backbone knows (imagenet, imagenet-v2), a psp model
    (`model_path`), or a file of the backbone's trained as a classifier (.pth or .safetensors).
    Raises PspError when it is not there or does not fit.
    """
    if init == "none":
        return Beginning(("random initial weights",))
    weights = _fetchable(network.spec, init)
    if weights is not None:
        return _fetched(network, weights)
    model = model_path(init)
    if model is not None:
        return from_model(network, model, classes)
    path = Path(init)
    if not path.is_file():
        raise PspError(_not_found(network.spec, init))
    try:
        said = _load_backbone(network, read_tensors(path), str(path))
    except PspError as error:
        raise PspError(f"--init {_to_import(path) or error}") from None
    return Beginning((said,))


def draw_new_layers(network: PSPNet, rule: str) -> None:
    """Draw the pyramid's and the classifiers' values anew by a rule: `StartSettings.new_layers`.

    `normal` is what mmsegmentation's heads begin with: mmseg/models/decode_heads/decode_head.py
    and the ConvModule of mmcv.
    """
    for head in (network.head, network.aux) if rule == "normal" else ():
        for module in head.modules() if head is not None else ():
            if not isinstance(module, nn.Conv2d):
                continue
            if head is not None and module is head.classifier:
                nn.init.normal_(module.weight, std=0.01)
            else:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _to_import(path: Path) -> str:
    """Return how to start from another program's PSPNet; "" for a file of anything else."""
    try:
        kind = find_importer(SavedNetwork(path)).name
    except PspError:
        return ""
    return (
        f"{path}: a PSPNet of {kind}. Convert it first: psp import {path} OUT.safetensors --card "
        "CARD, where CARD is the data set it was trained on; then --init OUT.safetensors"
    )


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


def _fetched(network: PSPNet, weights: InitialWeights) -> Beginning:
    """Load weights of the backbone; fetch them if they are not where torch.hub keeps them."""
    path = torch_hub_path(weights.file)
    remarks: list[str] = []
    try:
        fetch_file(weights.address, path, weights.sha256, remarks.append)
    except PspError as error:
        raise PspError(
            f"init={weights.name}: {error} Bring the file from elsewhere, to {path}, or {WAYS_OUT}"
        ) from None
    return Beginning((*remarks, _load_backbone(network, read_tensors(path), weights.title)))


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
            f"{network.spec.stem} stem: {first_of(problems)}. Choose another "
            "--backbone, or weights of this one (see: psp models)"
        )
    network.backbone.load_state_dict(given)
    return f"backbone from {source}; new: pyramid and classifiers"

"""Weights of others' programs become weights of ours: recognized by what is in them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from psp.cards import Card
from psp.config import resolve
from psp.errors import PspError
from psp.manifest import file_sha256
from psp.model import Architecture, build
from psp.model import caffe as caffe_model
from psp.model.semseg import is_semseg, read_semseg
from psp.tensors import read_tensors
from psp.weights import Header, Preprocessing, is_weights, save_weights


@dataclass(frozen=True)
class Recognized:
    """What a file is, in words and in our terms."""

    what: str
    architecture: Architecture
    tensors: dict[str, Tensor]
    preprocessing: Preprocessing
    crop: int | None  # where the file says it
    aside: tuple[str, ...] = ()  # tensors that are no part of the network


def import_weights(source: Path, out: Path, card: Card, recipe: str | None = None) -> Recognized:
    """Write another program's PSPNet as a psp weights file; return what it was recognized as.

    Names, colors, crop and base size are those of the card and its recipe; the crop is the file's
    own where it says one. Raises PspError for a file that is none, damaged, or does not fit.
    """
    if source.resolve() == out.resolve():
        raise PspError(f"{out}: this is the file to import. Choose another name")
    if out.is_dir() or not out.parent.is_dir():
        raise PspError(f"{out}: {'a folder' if out.is_dir() else 'its folder does not exist'}.")
    found = recognize(source)
    _check(found, source, card)
    config = resolve(card.recipe_named(recipe), {}, recipe or card.recipe_name)
    header = Header(
        architecture=found.architecture,
        classes=card.names,
        palette=card.palette,
        dataset=card.name,
        data="",
        crop=found.crop or config.crop,
        base_size=config.base_size,
        step=0,
        preprocessing=found.preprocessing,
        source=f"{found.what}, {source.name}, SHA-256 {file_sha256(source)}",
    )
    # Half precision is widened; tensors that share memory in a pickle are parted.
    whole = {
        name: tensor.detach().clone().float() if tensor.is_floating_point() else tensor.clone()
        for name, tensor in found.tensors.items()
    }
    save_weights(out, whole, header)
    return found


def recognize(source: Path) -> Recognized:
    """Say what a file is. Raises PspError when it is no PSPNet that psp knows."""
    if source.is_dir():
        raise PspError(f"{source}: a folder. Give the weights file in it.")
    if not source.is_file():
        raise PspError(f"{source}: no such file.")
    if source.suffix.lower() == ".caffemodel":
        try:
            model = caffe_model.read_caffemodel(source.read_bytes())
        except PspError as error:
            raise PspError(f"{source}: {error}") from None
        spec = model.architecture
        return Recognized(
            f"the authors' Caffe PSPNet of {_depth(spec)} layers, stride in the {spec.stride_in}",
            spec, model.tensors, Preprocessing(caffe_model.MEAN, caffe_model.STD), model.crop,
            model.aside,
        )  # fmt: skip
    if is_weights(source):
        raise PspError(
            f"{source}: psp's own weights already. Use them: psp predict PHOTOS -m {source}"
        )
    tensors = read_tensors(source)
    if not is_semseg(tensors):
        raise PspError(f"{source}: {_what_else(tensors)}")
    try:
        found = read_semseg(tensors)
    except PspError as error:
        raise PspError(f"{source}: {error}") from None
    aux = "with" if found.architecture.aux else "without"
    return Recognized(
        f"a semseg PSPNet of {_depth(found.architecture)} layers, {aux} auxiliary head",
        found.architecture, found.tensors, Preprocessing(), None,
    )  # fmt: skip


def _depth(spec: Architecture) -> str:
    return spec.backbone.removeprefix("resnet")


def _what_else(tensors: dict[str, Tensor]) -> str:
    if "fc.weight" in tensors:
        return (
            "an ImageNet classifier, no PSPNet. Training can start from it: psp train SHARDS "
            "--init FILE"
        )
    first = ", ".join(list(tensors)[:3])
    return f"no PSPNet that psp knows; its tensors begin with {first}"


def _check(found: Recognized, source: Path, card: Card) -> None:
    """Raise PspError unless every tensor of the network is there, in its shape, and no other."""
    spec = found.architecture
    if spec.classes != len(card.classes):
        raise PspError(
            f"{source}: {found.what}, with {spec.classes} classes, but card {card.name} has "
            f"{len(card.classes)}. Name its own data set with --card"
        )
    with torch.device("meta"):  # shapes alone
        expected = build(spec).state_dict()
    problems = [f"{name} is missing" for name in expected if name not in found.tensors]
    problems += [f"{name} is none of its tensors" for name in found.tensors if name not in expected]
    problems += [
        f"{name} is {tuple(found.tensors[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found.tensors and found.tensors[name].shape != tensor.shape
    ]
    if not problems:
        problems += [
            f"{name} is of {str(tensor.dtype).removeprefix('torch.')} values, or of none"
            for name, tensor in found.tensors.items()
            if tensor.is_floating_point() != expected[name].is_floating_point()
            or tensor.is_complex()
            or tensor.is_meta
            or tensor.layout != torch.strided
        ]
    if not problems:
        problems += [
            f"{name} has values that are no finite numbers"
            for name, tensor in found.tensors.items()
            if not tensor.float().isfinite().all()
        ]
    if problems:
        more = f" and {len(problems) - 1} more" if problems[1:] else ""
        raise PspError(f"{source}: {found.what}, but {problems[0]}{more}.")

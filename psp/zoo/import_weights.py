"""Weights of others' programs become weights of ours: recognized by what is in them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psp.data.card import Card
from psp.errors import PspError
from psp.files import file_sha256
from psp.model.pspnet import build
from psp.model.weights import Header, is_weights, save_weights
from psp.settings.sources import resolve
from psp.zoo.importers.caffe import read_caffemodel
from psp.zoo.importers.classnames import differences, places
from psp.zoo.importers.csail import is_csail, read_csail
from psp.zoo.importers.importer import ImportedNetwork
from psp.zoo.importers.mmseg import is_mmseg, read_mmseg
from psp.zoo.importers.semseg import is_semseg, read_semseg
from psp.zoo.tensors import (
    first_of,
    mismatches,
    read_checkpoint,
    read_tensors,
)


@dataclass(frozen=True)
class PictureSizes:
    """How a published network is to see pictures, where that is known: window, and long side."""

    crop: int
    base_size: int | None


def import_weights(
    source: Path,
    out: Path,
    card: Card,
    recipe: str | None = None,
    *,
    sizes: PictureSizes | None = None,
    origin: str = "",
) -> ImportedNetwork:
    """Write another program's PSPNet as a psp weights file; return what it was recognized as.

    Names and colors are the card's, in the card's order: where the file names its classes, its
    channels are put into that order, or the file is refused. Crop and base size are those of
    `view`, or of the card's recipe; the crop is the file's own where it says one. `origin` is
    noted in the file. Raises PspError for a file that is none, damaged, or does not fit.
    """
    files = source_files(source)
    if out.resolve() in [file.resolve() for file in files]:
        raise PspError(f"{out}: this is the file to import. Choose another name")
    if out.is_dir() or not out.parent.is_dir():
        raise PspError(f"{out}: {'a folder' if out.is_dir() else 'its folder does not exist'}.")
    try:
        found = _translate(files)
        _check_classes(found, card)
        found = _in_the_cards_order(found, card)
        tensors = _complete(found)
    except PspError as error:
        known = any(str(error).startswith(str(file)) for file in files)
        raise error if known else PspError(f"{source}: {error}") from None
    if sizes is None:
        config = resolve(card.recipe_named(recipe), {}, recipe or card.recipe_name)
        sizes = PictureSizes(found.crop or config.crop, config.base_size)
    parts = [f"{file.name}, SHA-256 {file_sha256(file)}" for file in files]
    header = Header(
        architecture=found.architecture,
        classes=card.names,
        palette=card.palette,
        dataset=card.name,
        data="",
        crop=sizes.crop,
        base_size=sizes.base_size,
        step=0,
        preprocessing=found.preprocessing,
        source="; ".join([found.what, *parts, *found.remarks, *filter(None, [origin])]),
    )
    save_weights(out, tensors, header)
    return found


def source_files(source: Path) -> list[Path]:
    """Return the file or files that hold a network: CSAIL's is an encoder and a decoder.

    Raises PspError when there are none, or several networks.
    """
    if not source.exists():
        raise PspError(f"{source}: no such file.")
    if source.is_dir():
        encoders = sorted(source.glob("encoder_*.pth"))
        if len(encoders) > 1:
            names = ", ".join(path.name for path in encoders)
            raise PspError(f"{source}: several networks ({names}). Name one of these files")
        if not encoders:
            raise PspError(f"{source}: a folder without encoder_*.pth. Give the weights file in it")
        source = encoders[0]
    kind, _, rest = source.name.partition("_")
    if kind not in ("encoder", "decoder") or source.suffix != ".pth":
        return [source]
    pair = [source.with_name(f"{part}_{rest}") for part in ("encoder", "decoder")]
    for path in pair:
        if not path.is_file():
            raise PspError(f"{path}: no such file. A CSAIL network is an encoder and a decoder")
    return pair


def _translate(files: list[Path]) -> ImportedNetwork:
    """Say what the files are. Raises PspError when they are no PSPNet that psp knows."""
    first = files[0]
    if len(files) == 2:
        if first.resolve().parent.name.startswith("baseline-"):  # as they were named until then
            raise PspError(
                "a CSAIL network from before August 2019, which expects other pixels than psp "
                "knows. Take a later one, such as ade20k-resnet50dilated-ppm_deepsup"
            )
        encoder, decoder = map(read_tensors, files)
        if not is_csail(encoder, decoder):
            raise PspError("no CSAIL network of a dilated ResNet and a pyramid (ppm, ppm_deepsup).")
        return read_csail(encoder, decoder)
    if first.suffix.lower() == ".caffemodel":
        return read_caffemodel(first.read_bytes())
    if first.suffix == ".safetensors" and is_weights(first):
        raise PspError(f"psp's own weights already. Use them as: psp predict PHOTOS -m {first}")
    tensors, beside = read_checkpoint(first)
    if is_semseg(tensors):
        return read_semseg(tensors)
    if is_mmseg(tensors):
        meta = beside.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        config = meta.get("config", meta.get("cfg"))
        found = read_mmseg(tensors, config if isinstance(config, str) else "")
        return replace(found, classes=_stated_classes(meta))
    raise PspError(_what_else(tensors))


def _stated_classes(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names in what mmsegmentation notes beside tensors: 0.x, or 1.x."""
    data = meta.get("dataset_meta")
    names = meta.get("CLASSES") or (data.get("classes") if isinstance(data, dict) else None)
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _what_else(tensors: dict[str, Tensor]) -> str:
    if "fc.weight" in tensors:
        return (
            "an ImageNet classifier, no PSPNet. Training can start from it: psp train SHARDS "
            "--init FILE"
        )
    first = ", ".join(list(tensors)[:3])
    return f"no PSPNet that psp knows; its tensors begin with {first}"


def _check_classes(found: ImportedNetwork, card: Card) -> None:
    if found.architecture.classes != len(card.classes):
        raise PspError(
            f"{found.what}, with {found.architecture.classes} classes, but card {card.name} has "
            f"{len(card.classes)}. Name its own data set with --card"
        )


def _in_the_cards_order(found: ImportedNetwork, card: Card) -> ImportedNetwork:
    """Put the classifiers' channels into the card's order, where the file names its classes.

    Raises PspError when its names are not the card's, and where they would be no proof.
    """
    names = found.classes
    if found.kind == "mmsegmentation" and card.layout == "context":
        _check_context(found)
    if names is None:
        return found
    try:
        where = places(names, card.names)
    except PspError as error:
        raise PspError(
            f"{found.what}, but {error}. Name its own data set with --card, or write a card that "
            "names the classes as the file does"
        ) from None
    order = torch.tensor(where)
    tensors = {
        name: tensor[order]
        if ".classifier." in name and tensor.shape[:1] == (len(where),)
        else tensor
        for name, tensor in found.tensors.items()
    }
    return replace(found, tensors=tensors, remarks=tuple(differences(names, card.names, where)))


def _check_context(found: ImportedNetwork) -> None:
    """Refuse an mmsegmentation network of PASCAL Context whose order of classes is in doubt.

    Its converter numbers them by their raw values, that is by the alphabet
    (tools/dataset_converters/pascal_context.py), while lists of them in VOC's order are about, so
    only a list in the alphabet's order is what the channels are.
    """
    names = [name for name in found.classes or () if name != "background"]
    if not names or names != sorted(names):
        raise PspError(
            f"{found.what}, but which channel is which class is not certain: mmsegmentation's "
            "labels of PASCAL Context go by the alphabet, and the file's names "
            f"{'do not' if names else 'are missing'}."
        )


def _complete(found: ImportedNetwork) -> dict[str, Tensor]:
    """Return the network's tensors. Raises PspError unless each is there, in shape, and no other.

    Files from before torch counted them lack batch norm's steps, which nothing computes with.
    """
    with torch.device("meta"):  # shapes alone
        expected = build(found.architecture).state_dict()
    counters = {n: torch.tensor(0) for n in expected if n.endswith("num_batches_tracked")}
    tensors = counters | found.tensors
    problems = mismatches(tensors, expected)
    problems += [
        f"{name} is of {str(tensors[name].dtype).removeprefix('torch.')} values, or of none"
        for name, tensor in expected.items()
        if name in tensors
        and (
            tensors[name].is_floating_point() != tensor.is_floating_point()
            or tensors[name].layout is not torch.strided
            or tensors[name].is_meta
        )
    ]
    if not problems:
        problems += [
            f"{name} has values that are no finite numbers"
            for name, tensor in tensors.items()
            if not tensor.float().isfinite().all()
        ]
    if problems:
        raise PspError(f"{found.what}, but {first_of(problems)}.")
    # Half precision is widened; tensors that share memory in a pickle are parted.
    return {name: tensors[name].clone().to(tensor.dtype) for name, tensor in expected.items()}

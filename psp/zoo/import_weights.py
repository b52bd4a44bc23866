"""Import of a PSPNet that another program saved; the file's contents tell which program."""

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
from psp.zoo.importers.classnames import class_positions, remarks
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
    """The sizes to run a published network with."""

    crop: int  # side of the window
    base_size: int | None  # long side that pictures are resized to; None: their own size


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

    Class names and colors are the card's, in its order: if the file names its classes, its channels
    are put into the card's order, or the file is refused. Crop and base size are `sizes`; without
    them the base size is that of the card's recipe, and the crop the file's own or else that of the
    recipe. `origin` is noted in the weights file. Raises PspError for a file that is damaged, no
    known network, or does not fit the card.
    """
    files = source_files(source)
    if out.resolve() in [file.resolve() for file in files]:
        raise PspError(f"{out}: is the file to import. Choose another name for the output")
    if out.is_dir() or not out.parent.is_dir():
        raise PspError(f"{out}: {'a folder' if out.is_dir() else 'its folder does not exist'}.")
    try:
        network = _read_network(files)
        _check_class_count(network, card)
        network = _in_card_order(network, card)
        tensors = _checked_tensors(network)
    except PspError as error:
        names_file = any(str(error).startswith(str(file)) for file in files)
        raise error if names_file else PspError(f"{source}: {error}") from None
    if sizes is None:
        config = resolve(card.recipe_named(recipe), {}, recipe or card.recipe_name)
        sizes = PictureSizes(network.crop or config.augmentation.crop, config.data.base_size)
    checksums = [f"{file.name}, SHA-256 {file_sha256(file)}" for file in files]
    header = Header(
        architecture=network.architecture,
        classes=card.names,
        palette=card.palette,
        dataset=card.name,
        data="",
        crop=sizes.crop,
        base_size=sizes.base_size,
        step=0,
        preprocessing=network.preprocessing,
        source="; ".join([network.what, *checksums, *network.remarks, *filter(None, [origin])]),
    )
    save_weights(out, tensors, header)
    return network


def source_files(source: Path) -> list[Path]:
    """Return the files of a network: one, or CSAIL's encoder and decoder.

    `source` may be either of CSAIL's two, or their folder. Raises PspError for a missing file, and
    for a folder of several networks.
    """
    if not source.exists():
        raise PspError(f"{source}: no such file.")
    if source.is_dir():
        encoders = sorted(source.glob("encoder_*.pth"))
        if len(encoders) > 1:
            names = ", ".join(path.name for path in encoders)
            raise PspError(f"{source}: has several networks ({names}). Name one of these files")
        if not encoders:
            raise PspError(f"{source}: a folder without encoder_*.pth. Name the weights file in it")
        source = encoders[0]
    kind, _, rest = source.name.partition("_")
    if kind not in ("encoder", "decoder") or source.suffix != ".pth":
        return [source]
    pair = [source.with_name(f"{part}_{rest}") for part in ("encoder", "decoder")]
    for path in pair:
        if not path.is_file():
            raise PspError(
                f"{path}: no such file. A CSAIL network has an encoder file and a decoder file"
            )
    return pair


def _read_network(files: list[Path]) -> ImportedNetwork:
    """Read the network with the importer that recognizes it. Raises PspError if none does."""
    first = files[0]
    if len(files) == 2:
        if first.resolve().parent.name.startswith("baseline-"):  # the names of that time
            raise PspError(
                "a CSAIL network from before August 2019, whose preprocessing psp does not have. "
                "Use a later one, such as ade20k-resnet50dilated-ppm_deepsup"
            )
        encoder, decoder = map(read_tensors, files)
        if not is_csail(encoder, decoder):
            raise PspError(
                "not a CSAIL network of a dilated ResNet and a pyramid (ppm, ppm_deepsup)."
            )
        return read_csail(encoder, decoder)
    if first.suffix.lower() == ".caffemodel":
        return read_caffemodel(first.read_bytes())
    if first.suffix == ".safetensors" and is_weights(first):
        raise PspError(
            f"already a psp weights file. Use it as it is: psp predict PHOTOS -m {first}"
        )
    tensors, extras = read_checkpoint(first)
    if is_semseg(tensors):
        return read_semseg(tensors)
    if is_mmseg(tensors):
        meta = extras.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        config = meta.get("config", meta.get("cfg"))
        network = read_mmseg(tensors, config if isinstance(config, str) else "")
        return replace(network, classes=_mmseg_class_names(meta))
    raise PspError(_not_recognized(tensors))


def _mmseg_class_names(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names in the metadata of a checkpoint of mmsegmentation 0.x or 1.x."""
    data = meta.get("dataset_meta")
    names = meta.get("CLASSES") or (data.get("classes") if isinstance(data, dict) else None)
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _not_recognized(tensors: dict[str, Tensor]) -> str:
    """Return an error message for tensors that no importer recognizes."""
    if "fc.weight" in tensors:
        return (
            "an ImageNet classifier, not a PSPNet. To start training from it: psp train SHARDS "
            "--init FILE"
        )
    first = ", ".join(list(tensors)[:3])
    return f"not a PSPNet that psp can import; its first tensors are {first}"


def _check_class_count(network: ImportedNetwork, card: Card) -> None:
    if network.architecture.classes != len(card.classes):
        raise PspError(
            f"{network.what}, with {network.architecture.classes} classes, but card {card.name} "
            f"has {len(card.classes)}. Name the data set it was trained on: --card CARD"
        )


def _in_card_order(network: ImportedNetwork, card: Card) -> ImportedNetwork:
    """Put the classifiers' channels into the card's order, if the file names its classes.

    Raises PspError if its names are not the card's, or do not tell which channel is which.
    """
    names = network.classes
    if network.kind == "mmsegmentation" and card.layout == "context":
        _check_context(network)
    if names is None:
        return network
    try:
        positions = class_positions(names, card.names)
    except PspError as error:
        raise PspError(
            f"{network.what}, but {error}. Name the data set it was trained on: --card CARD; or "
            "write a card that names the classes as the file does"
        ) from None
    order = torch.tensor(positions)
    tensors = {
        name: tensor[order]
        if ".classifier." in name and tensor.shape[:1] == (len(positions),)
        else tensor
        for name, tensor in network.tensors.items()
    }
    notes = tuple(remarks(names, card.names, positions))
    return replace(network, tensors=tensors, remarks=notes)


def _check_context(network: ImportedNetwork) -> None:
    """Refuse an mmsegmentation network of PASCAL Context whose order of classes is uncertain.

    mmsegmentation's converter numbers the classes by their raw values, which is alphabetical order
    (tools/dataset_converters/pascal_context.py). But lists in VOC's order are in circulation too,
    so a file's list is trusted only if it is in alphabetical order.
    """
    names = [name for name in network.classes or () if name != "background"]
    if not names or names != sorted(names):
        raise PspError(
            f"{network.what}, but it is not certain which channel is which class: mmsegmentation's "
            "labels of PASCAL Context are in alphabetical order, and the class names in the file "
            f"{'are not' if names else 'are missing'}."
        )


def _checked_tensors(network: ImportedNetwork) -> dict[str, Tensor]:
    """Return the network's tensors. Raises PspError unless names, shapes and types are right.

    Files of early versions of torch lack batch norm's step counters. These are added: they are
    not used in computations.
    """
    with torch.device("meta"):  # shapes only
        expected = build(network.architecture).state_dict()
    counters = {n: torch.tensor(0) for n in expected if n.endswith("num_batches_tracked")}
    tensors = counters | network.tensors
    problems = mismatches(tensors, expected)
    problems += [
        f"{name} has values of type {str(tensors[name].dtype).removeprefix('torch.')}, or none"
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
            f"{name} has values that are not finite"
            for name, tensor in tensors.items()
            if not tensor.float().isfinite().all()
        ]
    if problems:
        raise PspError(f"{network.what}, but {first_of(problems)}.")
    # Half precision becomes float32; clones, because tensors in a pickle may share memory.
    return {name: tensors[name].clone().to(tensor.dtype) for name, tensor in expected.items()}

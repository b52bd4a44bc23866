"""Import of a PSPNet that another program saved; the file's contents tell which program."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from psp.data.card import Card
from psp.data.cardfile import with_facts
from psp.errors import PspError
from psp.files import file_sha256
from psp.model.procedure import Published
from psp.model.pspnet import build_shapes
from psp.model.weights import Header, check_header, save_weights
from psp.settings.size import Sides
from psp.settings.sources import resolve
from psp.zoo.importers.classnames import class_positions, color_remarks, remarks
from psp.zoo.importers.importer import ImportedNetwork, SavedNetwork
from psp.zoo.importers.registry import find_importer
from psp.zoo.tensors import first_of, mismatches, other_states


@dataclass(frozen=True)
class PictureSizes:
    """The sizes to run a published network with."""

    crop: Sides  # of the window
    base_size: int | None  # long side that pictures are resized to; None: their own size
    procedure: Published | None = None  # of the publisher's test; None: as the file says


def import_weights(
    source: Path,
    out: Path,
    card: Card,
    recipe: str | None = None,
    *,
    sizes: PictureSizes | None = None,
    origin: str = "",
    by_raw_values: bool = False,
) -> ImportedNetwork:
    """Write another program's PSPNet as a psp weights file; return what it was recognized as.

    Class names and colors are the card's, in its order: if the file names its classes, its channels
    are put into the card's order, or the file is refused. Crop and base size are `sizes`; without
    them the base size is that of the card's recipe, and the crop the file's own or else that of the
    recipe. `origin` is noted in the weights file. `by_raw_values`: its channels are known to be in
    the order of the card's raw values, whatever its list of names says. Raises PspError for a file
    that is damaged, no known network, or does not fit the card.
    """
    if out.is_dir() or not out.parent.is_dir():
        raise PspError(f"{out}: {'a folder' if out.is_dir() else 'its folder does not exist'}.")
    saved = SavedNetwork(source)
    importer = find_importer(saved)
    files = importer.files(source)
    if out.resolve() in [file.resolve() for file in files]:
        raise PspError(f"{out}: is the file to import. Choose another name for the output")
    try:
        network = importer.read(saved)
        _check_class_count(network, card)
        network = _in_card_order(network, card, by_raw_values)
        said = (*network.remarks, *_other(network, card), *_left(saved))
        network = replace(network, remarks=said)
        tensors = _checked_tensors(network)
    except PspError as error:
        names_file = any(str(error).startswith(str(file)) for file in files)
        raise error if names_file else PspError(f"{source}: {error}") from None
    if sizes is None:
        config = resolve(card.recipe_named(recipe), {}, recipe or card.recipe_name)
        base_size = network.base_size or config.data.base_size
        sizes = PictureSizes(network.crop or config.augmentation.crop, base_size)
        network = replace(network, remarks=(*_assumed(network, sizes, card), *network.remarks))
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
        procedure=sizes.procedure or network.procedure,
        source="; ".join([network.what, *checksums, *network.remarks, *filter(None, [origin])]),
    )
    check_header(header, f"{source}: cannot become psp weights")
    save_weights(out, tensors, header)
    return network


def _assumed(network: ImportedNetwork, sizes: PictureSizes, card: Card) -> list[str]:
    """Return a remark on all that the file does not say of its test, and what is taken instead."""
    assumed = list(network.assumed)
    if network.procedure and network.procedure.resize is None:
        size = sizes.base_size and f"resized to a long side of {sizes.base_size}"
        assumed.append(f"pictures {size or 'at their own size'}, as card {card.name} has it")
    if network.assumed and network.crop is None:
        assumed.append(f"a crop of {sizes.crop}")
    return [f"assumed, as the file does not say it: {'; '.join(assumed)}"] if assumed else []


def _left(saved: SavedNetwork) -> list[str]:
    """Return a remark on other weights in the file, such as averaged ones."""
    others = other_states(saved.extras) if saved.names else []
    beside = (
        [key for key, value in saved.extras.items() if isinstance(value, Tensor)]
        if saved.names
        else []
    )
    remarks = []
    if others:
        remarks.append(f"the file has other weights too, which are not used: {', '.join(others)}")
    if beside:
        remarks.append(f"tensors beside the network are not used: {', '.join(beside[:4])}")
    return remarks


def _other(network: ImportedNetwork, card: Card) -> list[str]:
    """Return a remark where the file names a data set that is not the card's."""
    if network.card in (None, card.name) or network.classes is not None:
        return []
    return [
        f"it was trained on what card {network.card} is of, and the file does not name its "
        f"classes: they are taken to be in the order of card {card.name}"
    ]


def _check_class_count(network: ImportedNetwork, card: Card) -> None:
    if network.architecture.classes != len(card.classes):
        raise PspError(
            f"{network.what}, with {network.architecture.classes} classes, but card {card.name} "
            f"has {len(card.classes)}. Name the data set it was trained on: --card CARD"
        )


def _in_card_order(network: ImportedNetwork, card: Card, by_raw_values: bool) -> ImportedNetwork:
    """Put the classifiers' channels into the card's order, if the file names its classes.

    Raises PspError if its names are not the card's, or do not tell which channel is which.
    """
    names, said = network.classes, network.remarks
    if by_raw_values:
        if names is not None and _positions(network, names, card) != _by_raw_values(card):
            said = (*said, "its channels are in the order of the labels, its list of names is not")
        positions = _by_raw_values(card)
        names = tuple(card.names[positions.index(channel)] for channel in range(len(positions)))
    else:
        _check_order(network, card)
        if names is None:
            return replace(network, remarks=(*said, *_colors(network, card, None)))
        positions = _positions(network, names, card)
    order = torch.tensor(positions)
    tensors = {
        name: tensor[order]
        if ".classifier." in name and tensor.shape[:1] == (len(positions),)
        else tensor
        for name, tensor in network.tensors.items()
    }
    colors = _colors(network, card, positions)
    notes = (*said, *remarks(names, card.names, positions), *colors)
    return replace(network, tensors=tensors, remarks=notes)


def _colors(network: ImportedNetwork, card: Card, positions: Sequence[int] | None) -> list[str]:
    """Return a remark on colors that are not the card's. PspError as `color_remarks`."""
    try:
        return color_remarks(network.palette, card.palette, positions)
    except PspError as error:
        raise PspError(f"{network.what}, but {error}. Name its data set: --card CARD") from None


def _positions(network: ImportedNetwork, names: tuple[str, ...], card: Card) -> tuple[int, ...]:
    """Return the position of each of the card's classes in the file's list of names."""
    try:
        return class_positions(names, card.names)
    except PspError as error:
        raise PspError(
            f"{network.what}, but {error}. Name the data set it was trained on: --card CARD; or "
            "write a card that names the classes as the file does"
        ) from None


def _by_raw_values(card: Card) -> tuple[int, ...]:
    """Return the position of each of the card's classes when they are sorted by raw value."""
    order = sorted(range(len(card.classes)), key=lambda index: min(card.classes[index].raw))
    return tuple(order.index(index) for index in range(len(order)))


def _check_order(network: ImportedNetwork, card: Card) -> None:
    """Refuse a network whose order of classes is uncertain.

    A card may say that a program has the data set's classes in alphabetical order, which is not the
    card's. Files with lists in another order may be in circulation too, so a file's list is trusted
    only if it is in that order. "background" comes first.
    """
    if with_facts(card).class_order.get(network.kind) != "alphabetical":
        return
    names = [name for name in network.classes or () if name != "background"]
    if not names or names != sorted(names):
        raise PspError(
            f"{network.what}, but it is not certain which channel is which class: {network.kind}'s "
            f"labels of this data set ({card.title}) are in alphabetical order, and the class "
            f"names in the file {'are not' if names else 'are missing'}. The published ones, whose "
            "order is known, have names: psp models"
        )


def _checked_tensors(network: ImportedNetwork) -> dict[str, Tensor]:
    """Return the network's tensors. Raises PspError unless names, shapes and types are right.

    Files of early versions of torch lack batch norm's step counters. These are added: they are
    not used in computations.
    """
    expected = build_shapes(network.architecture).state_dict()
    counters = {n: torch.tensor(0) for n in expected if n.endswith("num_batches_tracked")}
    tensors = counters | network.tensors
    # Those of a file in half precision may be halved too.
    tensors |= {name: tensors[name].long() for name in counters if not tensors[name].is_meta}
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

"""Weights of others' programs become weights of ours: recognized by what is in them."""

from pathlib import Path

import torch
from torch import Tensor

from psp.cards import Card
from psp.errors import PspError
from psp.manifest import file_sha256
from psp.model import build
from psp.model.caffe import read_caffemodel
from psp.model.csail import is_csail, read_csail
from psp.model.mmseg import is_mmseg, read_mmseg
from psp.model.semseg import is_semseg, read_semseg
from psp.model.translated import Translated
from psp.settings import resolve
from psp.tensors import first_of, mismatches, read_checkpoint, read_tensors
from psp.weights import Header, is_weights, save_weights


def import_weights(source: Path, out: Path, card: Card, recipe: str | None = None) -> Translated:
    """Write another program's PSPNet as a psp weights file; return what it was recognized as.

    Names, colors, crop and base size are those of the card and its recipe; the crop is the file's
    own where it says one. Raises PspError for a file that is none, damaged, or does not fit.
    """
    files = source_files(source)
    if out.resolve() in [file.resolve() for file in files]:
        raise PspError(f"{out}: this is the file to import. Choose another name")
    if out.is_dir() or not out.parent.is_dir():
        raise PspError(f"{out}: {'a folder' if out.is_dir() else 'its folder does not exist'}.")
    try:
        found = _translate(files)
        _check_classes(found, card)
        tensors = _complete(found)
    except PspError as error:
        known = any(str(error).startswith(str(file)) for file in files)
        raise error if known else PspError(f"{source}: {error}") from None
    config = resolve(card.recipe_named(recipe), {}, recipe or card.recipe_name)
    parts = [f"{file.name}, SHA-256 {file_sha256(file)}" for file in files]
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
        source="; ".join([found.what, *parts]),
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


def _translate(files: list[Path]) -> Translated:
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
        config = meta.get("config", meta.get("cfg")) if isinstance(meta, dict) else None
        return read_mmseg(tensors, config if isinstance(config, str) else "")
    raise PspError(_what_else(tensors))


def _what_else(tensors: dict[str, Tensor]) -> str:
    if "fc.weight" in tensors:
        return (
            "an ImageNet classifier, no PSPNet. Training can start from it: psp train SHARDS "
            "--init FILE"
        )
    first = ", ".join(list(tensors)[:3])
    return f"no PSPNet that psp knows; its tensors begin with {first}"


def _check_classes(found: Translated, card: Card) -> None:
    if found.architecture.classes != len(card.classes):
        raise PspError(
            f"{found.what}, with {found.architecture.classes} classes, but card {card.name} has "
            f"{len(card.classes)}. Name its own data set with --card"
        )


def _complete(found: Translated) -> dict[str, Tensor]:
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

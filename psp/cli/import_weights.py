"""psp import and psp export: weights from other programs, and for them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug, Json, Quiet, card_named, model_named
from psp.errors import PspError


def import_(
    source: Annotated[
        Path,
        typer.Argument(help="A .caffemodel, a semseg or mmsegmentation .pth, or CSAIL's folder."),
    ],
    out: Annotated[Path, typer.Argument(help="The weights file to write, .safetensors.")],
    card: Annotated[
        str,
        typer.Option(help="The data set it was trained on: a card's name, .toml file, or shards."),
    ],
    recipe: Annotated[
        str | None, typer.Option(help="The recipe that names base size and crop.", metavar="NAME")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Turn others' weights into psp's: psp import pspnet101_VOC2012.caffemodel voc.safetensors --card voc2012"""  # noqa: E501 - a help's first line
    from psp.cli.console import say
    from psp.zoo.import_weights import import_weights

    _check_new(out, ".safetensors", overwrite)
    found = import_weights(source, out, card_named(card), recipe)
    print(out)
    if not quiet:
        say(f"{source}: {found.what}")
        for remark in found.remarks:
            say(remark)
        if found.aside:
            say(f"no part of the network, left aside: {', '.join(found.aside)}")
        say(f"next: psp predict PHOTOS -m {out}")


def export(
    model: Annotated[
        Path, typer.Argument(help="A run's folder, a weights file, or a name of psp models.")
    ],
    out: Annotated[Path, typer.Argument(help="The file to write, .onnx.")],
    size: Annotated[
        str | None,
        typer.Option(help="Height and width of its pictures; default: the crop.", metavar="HxW"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a model as ONNX, and check it: psp export runs/voc2012-resnet50 voc.onnx"""
    from psp.cli.console import say

    _check_new(out, ".onnx", overwrite)
    found = model_named(model, quiet=quiet)
    from psp.zoo.export import export as work
    from psp.zoo.export import parse_size

    remark = (lambda text: None) if quiet else say
    done = work(found.path, out, parse_size(size) if size else None, remark)
    if as_json:
        record = {"out": str(out), "size": list(done.size), "difference": done.difference}
        print(json.dumps(record))
    else:
        print(out)
    remark(
        f"images: float32 (batch, 3, {done.size[0]}, {done.size[1]}), normalized as its metadata "
        f"say; logits: (batch, {len(done.header.classes)}, {done.size[0]}, {done.size[1]})"
    )
    remark(f"onnxruntime agrees with torch to {done.difference:.0e} of the logits' range")


def _check_new(out: Path, suffix: str, overwrite: bool) -> None:
    """Raise PspError for a file name of another kind, and for a file that stands there."""
    if out.suffix != suffix:
        raise PspError(f"{out}: must end in {suffix}")
    if out.exists() and not overwrite:
        raise PspError(f"{out}: exists already. Choose another name, or replace it: --overwrite")

"""psp export: a model as ONNX, for other programs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug, Json, Quiet, check_new_file, model_named


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

    check_new_file(out, ".onnx", overwrite)
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

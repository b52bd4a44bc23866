"""psp export: write a model as ONNX, for other programs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import (
    Debug,
    Json,
    ModelName,
    Overwrite,
    Quiet,
    check_new_file,
    model_named,
)


def export_command(
    model: ModelName,
    out: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
    size: Annotated[
        str | None,
        typer.Option(
            help="Width and height of the input. Default: the training crop.", metavar="WxH"
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a model as ONNX and check it: psp export runs/voc2012-resnet50 voc.onnx"""
    from psp.cli.console import say

    check_new_file(out, ".onnx", overwrite)
    source = model_named(model, quiet=quiet)
    from psp.zoo.export import export, parse_size

    remark = (lambda text: None) if quiet else say
    exported = export(source.path, out, parse_size(size) if size else None, remark)
    if as_json:
        record = {"out": str(out), "size": list(exported.size), "difference": exported.difference}
        print(json.dumps(record))
    else:
        print(out)
    width, height = exported.size
    remark(
        f"images: float32 (batch, 3, {height}, {width}), normalized as described in its metadata; "
        f"logits: (batch, {len(exported.header.classes)}, {height}, {width})"
    )
    remark(f"onnxruntime agrees with torch to {exported.difference:.0e} of the logits' range")

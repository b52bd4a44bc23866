"""psp export: write a model as ONNX, for other programs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psp.cli.options import (
    ADVANCED,
    Debug,
    Json,
    ModelName,
    Overwrite,
    Quiet,
    check_new_file,
    model_named,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from psp.model.weights import Header
    from psp.zoo.export import Exported


def export_command(
    model: ModelName,
    out: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
    size: Annotated[
        str | None,
        typer.Option(
            help="Width and height of the input. Default: the training crop.", metavar="WxH"
        ),
    ] = None,
    include: Annotated[
        str | None,
        typer.Option(
            help="What else to put into the file: preprocess (it takes uint8 RGB pixels, NHWC) "
            "and argmax (it gives class ids, uint8).",
            metavar="LIST",
        ),
    ] = None,
    upsampled: Annotated[
        bool,
        typer.Option(
            "--upsample/--no-upsample",
            help="Logits of the full size, or at 1/8: psp itself runs those faster.",
            rich_help_panel=ADVANCED,
        ),
    ] = True,
    half: Annotated[
        bool, typer.Option("--fp16", help="Weights and arithmetic in float16: half the size.")
    ] = False,
    int8: Annotated[
        Path | None,
        typer.Option(
            help="Compute in int8, calibrated with pictures of these shards.", metavar="SHARDS"
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="Split to calibrate --int8 with.", rich_help_panel=ADVANCED),
    ] = "train",
    opset: Annotated[
        int,
        typer.Option(help="Version of ONNX's operators.", metavar="N", rich_help_panel=ADVANCED),
    ] = 17,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a model as ONNX and check it: psp export runs/voc2012-resnet50 voc.onnx"""
    from psp.cli.console import say

    check_new_file(out, ".onnx", overwrite)
    source = model_named(model, quiet=quiet)
    from psp.zoo.export import export, parse_include, parse_size

    remark = (lambda text: None) if quiet else say
    exported = export(
        source.path,
        out,
        parse_size(size) if size else None,
        remark,
        include=parse_include(include),
        upsampled=upsampled,
        half=half,
        opset=opset,
        calibration=_calibration(int8, split) if int8 else None,
    )
    _show(exported, as_json, remark)


def _show(exported: "Exported", as_json: bool, remark: "Callable[[str], None]") -> None:
    if as_json:
        record = {
            "out": str(exported.path),
            "size": list(exported.size),
            "difference": exported.difference,
            "agreement": exported.agreement,
        }
        print(json.dumps(record))
    else:
        print(exported.path)
    remark(f"{exported.input}; {exported.output}")
    if exported.agreement is None:
        remark(f"onnxruntime agrees with torch to {exported.difference:.0e} of the logits' range")
    else:
        remark(
            f"int8: {exported.agreement:.1%} of the pixels of pictures that it was not calibrated "
            f"with get torch's class. Its scores: psp evaluate {exported.path} --data SHARDS"
        )


def _calibration(shards: Path, split: str) -> "Callable[[Header], Iterable[NDArray[np.float32]]]":
    """Return what gives windows of shards for a header."""
    from psp.evaluate.calibration import calibration_windows

    return lambda header: calibration_windows(shards, split, header)

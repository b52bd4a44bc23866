"""psp import: convert weights of other programs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psp.cli.options import Debug, Json, Overwrite, Quiet, card_named, check_new_file

if TYPE_CHECKING:
    from psp.zoo.importers.importer import ImportedNetwork


def import_command(
    source: Annotated[
        Path,
        typer.Argument(
            help="A .caffemodel, a .pth of semseg or mmsegmentation, or a folder of CSAIL's."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    card: Annotated[
        str,
        typer.Option(
            help="The data set it was trained on: a card's name, .toml file, or folder of shards."
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Which of the card's recipes has the base size and crop.", metavar="NAME"
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert weights of other programs: psp import net.caffemodel net.safetensors --card voc2012

    Reads the authors' Caffe models, and PyTorch checkpoints of semseg, mmsegmentation and CSAIL.
    """
    from psp.cli.console import say
    from psp.zoo.import_weights import import_weights

    check_new_file(out, ".safetensors", overwrite)
    imported = import_weights(source, out, card_named(card), recipe)
    if as_json:
        print(json.dumps(_record(out, imported), ensure_ascii=False))
    else:
        print(out)
    if not quiet:
        say(f"{source}: {imported.what}")
        for remark in imported.remarks:
            say(remark)
        if imported.procedure:
            say(f"its own procedure, the default: {imported.procedure.description}")
        if imported.unused:
            say(f"not part of the network, ignored: {', '.join(imported.unused)}")
        say(f"next: psp predict PHOTOS -m {out}")


def _record(out: Path, imported: "ImportedNetwork") -> dict[str, Any]:
    """Return what was imported as plain JSON types."""
    return {
        "out": str(out),
        "recognized_as": imported.what,
        "importer": imported.kind,
        "backbone": imported.architecture.backbone,
        "classes": imported.architecture.classes,
        "tensors": len(imported.tensors),
        "parameters": sum(tensor.numel() for tensor in imported.tensors.values()),
        "unused": len(imported.unused),
        "remarks": list(imported.remarks),
    }

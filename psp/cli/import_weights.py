"""psp import: convert weights of other programs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from psp.cli.options import Debug, Json, Overwrite, Quiet, card_named, check_new_file
from psp.errors import PspError

if TYPE_CHECKING:
    from psp.zoo.importers.importer import ImportedNetwork


def import_command(
    source: Annotated[
        Path,
        typer.Argument(
            help="A .caffemodel, a .pth of semseg or mmsegmentation, or a folder of CSAIL's; or a "
            "configuration, CONFIG.py or .yaml."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(help="The .safetensors file to write; none for a configuration."),
    ] = None,
    card: Annotated[
        str | None,
        typer.Option(
            help="The data set it was trained on: a card's name, .toml file, or folder of shards."
        ),
    ] = None,
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
    Of a configuration of mmsegmentation or semseg it prints the recipe: psp import pspnet.py
    """
    if _is_config(source):
        _show_config(source, out, as_json)
        return
    if out is None or card is None:
        raise PspError(
            f"{source}: say what to write, and which data set it was trained on: psp import "
            f"{source} OUT.safetensors --card CARD"
        )
    from psp.zoo.import_weights import import_weights

    check_new_file(out, ".safetensors", overwrite)
    imported = import_weights(source, out, card_named(card), recipe)
    if as_json:
        print(json.dumps(_record(out, imported), ensure_ascii=False))
    else:
        print(out)
    if not quiet:
        _say(source, out, imported)


def _say(source: Path, out: Path, imported: "ImportedNetwork") -> None:
    """Say what was imported, and what is worth knowing of it."""
    from psp.cli.console import say

    say(f"{source}: {imported.what}")
    for remark in imported.remarks:
        say(remark)
    if imported.procedure:
        say(f"its own procedure, the default: {imported.procedure.description}")
    if imported.unused:
        say(f"not part of the network, ignored: {', '.join(imported.unused)}")
    say(f"next: psp predict PHOTOS -m {out}")


def _is_config(source: Path) -> bool:
    from psp.zoo.configs.registry import is_config

    return is_config(source)


def _show_config(source: Path, out: Path | None, as_json: bool) -> None:
    """Print the recipe that a configuration describes, and what psp has no counterpart for."""
    from psp.zoo.configs.registry import find_config

    if out is not None:
        raise PspError(
            f"{source}: a configuration, not weights: its recipe is printed, and nothing is "
            f"written. Leave {out} out"
        )
    config = find_config(source)
    if as_json:
        print(json.dumps(config.to_dict(), ensure_ascii=False))
        return
    lines = [f"# {config.what}: {source.name}"]
    if config.card or config.classes:
        lines.append(f"# data set: card {config.card or '?'}, {config.classes or '?'} classes")
    lines += [f"# assumed: {text}" for text in config.assumed]
    lines += [f"# no counterpart in psp: {text}" for text in config.missing]
    print("\n".join([*lines, config.toml(f"{config.what}, {source.name}")]))


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

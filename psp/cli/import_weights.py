"""psp import: weights of other programs become weights of psp."""

from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug, Quiet, card_named, check_new_file


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

    check_new_file(out, ".safetensors", overwrite)
    found = import_weights(source, out, card_named(card), recipe)
    print(out)
    if not quiet:
        say(f"{source}: {found.what}")
        for remark in found.remarks:
            say(remark)
        if found.aside:
            say(f"no part of the network, left aside: {', '.join(found.aside)}")
        say(f"next: psp predict PHOTOS -m {out}")

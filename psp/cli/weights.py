"""psp import: others' weights."""

from pathlib import Path
from typing import Annotated

import typer

from psp.cli.options import Debug, Quiet
from psp.errors import PspError


def import_(
    source: Annotated[
        Path,
        typer.Argument(help="A .caffemodel, a semseg or mmsegmentation .pth, or CSAIL's folder."),
    ],
    out: Annotated[Path, typer.Argument(help="The weights file to write, .safetensors.")],
    card: Annotated[
        str, typer.Option(help="The data set it was trained on: a card's name or .toml file.")
    ],
    recipe: Annotated[
        str | None, typer.Option(help="The recipe that names base size and crop.", metavar="NAME")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Turn others' PSPNet weights into psp's:

    psp import pspnet101_VOC2012.caffemodel voc.safetensors --card voc2012
    """
    from psp.cardfile import find_card
    from psp.display import say
    from psp.foreign import import_weights

    if out.suffix != ".safetensors":
        raise PspError(f"{out}: must end in .safetensors")
    if out.exists() and not overwrite:
        raise PspError(f"{out}: exists already. Choose another name, or replace it: --overwrite")
    found = import_weights(source, out, find_card(card), recipe)
    print(out)
    if not quiet:
        say(f"{source}: {found.what}")
        if found.aside:
            say(f"no part of the network, left aside: {', '.join(found.aside)}")
        say(f"next: psp predict PHOTOS -m {out}")

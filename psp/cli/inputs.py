"""What the arguments of psp predict are: pictures, a list of them, and perhaps the model."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from psp.errors import PspError
from psp.ranks import Share

if TYPE_CHECKING:
    from psp.images.kinds import LeftOut

STANDARD_INPUT = Path("-")


def pictures_and_model(arguments: list[Path], model: Path | None) -> tuple[list[Path], Path | None]:
    """Return the pictures and the model among the arguments. Raises PspError for what is neither,
    and where it is in doubt."""
    from psp.cli.video import check_cameras
    from psp.cli.words.answer import assignment_answer
    from psp.predict.order import model_among

    check_cameras(arguments)
    if answer := assignment_answer("predict", [str(argument) for argument in arguments]):
        raise PspError(answer)
    return model_among(arguments, model)


def find_inputs(
    images: list[Path], rank: Share, silent: bool
) -> tuple[list[Path], Mapping[str, Path], "LeftOut"]:
    """Return the inputs that name the results (none for a list), the pictures by name, and what
    else is in the folders, which is said."""
    from psp.cli.console import say
    from psp.images.kinds import VIDEO, LeftOut
    from psp.predict.inputs import find_pictures

    inputs, listed = _inputs_and_list(images, rank, silent)
    left_out = LeftOut(remedies={VIDEO: "one at a time: psp predict VIDEO -m MODEL"})
    pictures = find_pictures(inputs, listed, left_out)
    if str(left_out) and not silent:
        say(str(left_out))
    return [] if listed else inputs, pictures, left_out


def _inputs_and_list(
    images: list[Path], rank: Share, silent: bool
) -> tuple[list[Path], list[Path]]:
    """Return the inputs but `-`, and the files listed on standard input if `-` is one of them."""
    inputs = [path for path in images if path != STANDARD_INPUT]
    if len(inputs) == len(images):
        return inputs, []
    from psp.predict.inputs import read_list

    if rank.total > 1:
        raise PspError(
            "-: torchrun's ranks cannot share one list. Start separate processes with --part K/N"
        )
    if sys.stdin.isatty():
        raise PspError("-: expects a list of files, e.g. from: ls photos/*.jpg | psp predict -")
    remarks: list[str] = []
    listed = read_list(sys.stdin.buffer.read(), remarks)
    if not listed:
        raise PspError("-: the list on standard input is empty.")
    for remark in remarks if not silent else ():
        from psp.cli.console import say

        say(remark)
    return inputs, listed

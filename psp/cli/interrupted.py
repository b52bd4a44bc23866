"""What a command that was interrupted says: what is safe on the disk, and how it goes on."""

import shlex
import sys
from collections.abc import Sequence

NOTHING = "nothing of it was written"
# By the command's name: what is safe. All of them go on, or begin again, by the same command; what
# is there of a training that has begun, psp train says itself.
SAFE = {
    "prepare": "what is finished is kept, and the same command goes on from there",
    "evaluate": "no result was stored",
    "predict": "finished pictures and label maps are kept, and the same command continues",
    "demo": "what is finished stays in its folder; the demo begins again in another one",
}


def interrupted(arguments: Sequence[str]) -> str:
    """Return what to say after an interruption of `psp ARGUMENTS`, in one line."""
    command = arguments[0] if arguments else ""
    words = [word for word in arguments if command != "predict" or word != "--overwrite"]
    return f"interrupted: {SAFE.get(command, NOTHING)}: {shlex.join(['psp', *words])}"


def say_interrupted() -> None:
    """Say it of the command line of this process, on stderr."""
    print(f"\n{interrupted(sys.argv[1:])}", file=sys.stderr)

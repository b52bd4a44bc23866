"""Which of the arguments of psp predict are pictures and which is the model, by what they are."""

import glob
from collections.abc import Sequence
from pathlib import Path

from psp.errors import PspError, nearest
from psp.names import inside
from psp.predict.inputs import holds_pictures
from psp.runs import CONFIG, RUNS, Run
from psp.zoo.catalog import entries
from psp.zoo.find import is_published, is_run

WEIGHTS_SUFFIXES = frozenset({".safetensors", ".pt", ".pth", ".ckpt", ".caffemodel", ".onnx"})
STANDARD_INPUT = Path("-")


def model_among(
    arguments: Sequence[Path], model: Path | None = None
) -> tuple[list[Path], Path | None]:
    """Return the pictures among the arguments, and the model: `model`, or the one among them.

    A run, a weights file or the name of published weights is a model, all else is pictures. Raises
    PspError, which names both readings, where that is in doubt, and where there is no picture.
    """
    models = [argument for argument in arguments if _is_model(argument)]
    pictures = [argument for argument in arguments if argument not in models]
    if model is not None:
        for named in models:
            if not _holds_pictures(named):
                raise PspError(
                    f"{named}: a model, and -m {model} is one too. Leave one of them out"
                )
        return list(arguments), model
    if len(models) > 1:
        raise PspError(
            f"{models[0]} and {models[1]} are both models. Say which: psp predict PICTURES "
            f"-m {models[0]}, or -m {models[1]}"
        )
    if models and not pictures:
        raise PspError(
            f"{models[0]}: a model. Name the pictures too: psp predict photos/ -m {models[0]}"
        )
    if models and _holds_pictures(models[0]):
        raise PspError(
            f"{models[0]}: a model, and pictures are in it too. If it is the model: psp predict "
            f"{pictures[0]} -m {models[0]}; if its pictures are meant, name the model with -m"
        )
    if not models and len(arguments) > 1:
        _check_names(arguments)
    return pictures, models[0] if models else None


def _is_model(argument: Path) -> bool:
    if argument == STANDARD_INPUT:
        return False
    if argument.is_dir():
        return (argument / CONFIG).is_file() and (
            not holds_pictures(argument) or Run(argument).is_sound
        )
    if argument.exists():
        return argument.suffix.lower() in WEIGHTS_SUFFIXES
    return is_run(argument) or is_published(argument)


def _holds_pictures(model: Path) -> bool:
    return model.is_dir() and holds_pictures(model)


def _check_names(arguments: Sequence[Path]) -> None:
    """Raise PspError for a folder of pictures that has a run's name, and for a misspelled name."""
    for argument in arguments:
        if argument.is_dir() and len(argument.parts) == 1 and (RUNS / argument / CONFIG).is_file():
            raise PspError(
                f"{argument}: the folder {argument} of pictures, or the run {RUNS / argument}? If "
                f"it is the run: -m {RUNS / argument}; if it is pictures, name the model with -m"
            )
        if (
            not argument.exists()
            and argument != STANDARD_INPUT
            and not glob.has_magic(str(argument))
        ):
            near = nearest(argument.name, [*inside(RUNS, CONFIG), *entries()])
            raise PspError(
                f"{argument}: no such picture, folder, run, weights file or published weights."
                f"{near}"
            )

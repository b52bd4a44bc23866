"""The answer to options that a command does not have: psp's own option or command, in one line."""

import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from psp.cli.words.table import ANY, CROP, EPOCHS, WORDS
from psp.data.find import shards_folder
from psp.data.manifest import MANIFEST, read_manifest
from psp.errors import PspError, nearest
from psp.settings.augmentation import nearest_crops
from psp.settings.config import SETTINGS
from psp.settings.optimizer import OptimizerSettings

Options = Mapping[str, Sequence[str]]  # of each command: its options, with their dashes
ASSIGNMENT = re.compile(r"(?P<word>[a-z][a-z0-9_.-]*)=(?P<value>.*)", re.DOTALL)


def option_answer(command: str, arguments: Sequence[str], options: Options) -> str | None:
    """Return the answer to all options among the arguments that a command does not have.

    Words such as epochs=12 count as options too. None if all are known.
    """
    answers = [
        f"{shown}: {_answer(command, word, value, arguments, options)}"
        for shown, word, value in _unknown(arguments, options.get(command, ()))
    ]
    return "; ".join(dict.fromkeys(answers)) or None


def assignment_answer(command: str, arguments: Sequence[str]) -> str | None:
    """Return the answer to words such as source=photos among a command's arguments, else None."""
    known = [text for text in arguments if not Path(text).exists() and _assigned(text)]
    return option_answer(command, known, {})


def setting_answer(text: str, arguments: Sequence[str]) -> str | None:
    """Return the answer to a text of --set such as epochs=12, None if psp has that setting."""
    match = _assigned(text)
    if not match or match["word"] in SETTINGS:
        return None
    word = match["word"].replace("_", "-")
    return f"--set {text}: {_answer('train', word, match['value'], arguments, {})}"


def _assigned(text: str) -> re.Match[str] | None:
    match = ASSIGNMENT.fullmatch(text)
    return match if match and match["word"].replace("_", "-") in WORDS else None


def _unknown(
    arguments: Sequence[str], known: Sequence[str]
) -> Iterator[tuple[str, str, str | None]]:
    """Yield each unknown option as it stands there, its word without dashes, and its value."""
    for number, text in enumerate(arguments):
        if text == "--":
            return
        if match := _assigned(text):
            yield text, match["word"].replace("_", "-"), match["value"]
        name, equals, value = text.partition("=")
        dashes = len(name) - len(name.lstrip("-"))
        if not dashes or re.fullmatch(r"-[\d.].*|-", text):
            continue
        after = arguments[number + 1] if number + 1 < len(arguments) else ""
        given = value if equals else after if after and not after.startswith("-") else None
        if name in known and (name != "--weights" or given in (None, "best", "last")):
            continue
        if dashes == 1 and name[:2] in known:  # -o/tmp/run, -qv
            continue
        shown = f"{name} {given}" if given and not equals else text
        yield shown, name[dashes:].casefold().replace("_", "-"), given


def _answer(
    command: str, word: str, value: str | None, arguments: Sequence[str], options: Options
) -> str:
    row = WORDS.get(word)
    answer = row and row.answers.get(command, row.answers.get(ANY))
    if answer == EPOCHS:
        return _steps(value, arguments)
    if answer == CROP:
        return _crop(value)
    if answer:
        given = shlex.quote(value) if value else None
        text = answer.replace("{WORD}", word)
        return re.sub(r"\{([A-Z]+)\}", lambda match: given or match[1], text)
    setting = word.replace("-", "_")
    if command == "train" and setting in SETTINGS:
        return f"psp's option is --set {setting}={value or 'VALUE'}"
    others = [name for name in options if f"--{word}" in options[name]]
    near = nearest(f"--{word}", [name for name in options.get(command, ()) if len(name) > 2])
    if others:
        return f"psp {command} has no such option; psp {' and psp '.join(others[:2])} has it"
    return f"psp {command} has no such option.{near} See: psp {command} --help"


def _crop(value: str | None) -> str:
    text = "the side of the training crop, or WIDTHxHEIGHT; sides are multiples of 8 plus 1"
    side = re.match(r"\d{1,6}", value or "")
    if not side:
        return f"psp's option is --crop N, {text}"
    return f"psp's option is --crop {nearest_crops(int(side[0]))[0]}, {text}"


def _steps(value: str | None, arguments: Sequence[str]) -> str:
    """Return how many steps so many epochs are, computed from the shards among the arguments."""
    start = "psp counts optimizer steps"
    rule = f"{start}: epochs x training pictures / batch are --steps N"
    try:
        epochs = float(value or "")
        folder = next(path for path in map(shards_folder, _names(arguments)) if _is_shards(path))
        manifest = read_manifest(folder)
    except (ValueError, StopIteration, PspError):
        return rule
    images, batch = _images(manifest), _batch(manifest, arguments)
    if not (images and math.isfinite(epochs) and 0 < epochs < 1e6):
        return rule
    steps = max(1, math.ceil(epochs * images / batch))
    return (
        f"{start}: {epochs:g} epochs of {folder}'s {images:,} training pictures at batch {batch} "
        f"are --steps {steps}"
    )


def _names(arguments: Sequence[str]) -> Iterator[str]:
    """Yield what may name shards: arguments, and the values of options such as --data=town."""
    for text in arguments:
        yield text.partition("=")[2] if "=" in text else text


def _is_shards(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _images(manifest: Mapping[str, Any]) -> int:
    splits = manifest["splits"]
    split = splits.get("train_aug") or splits.get("train")
    return int(split["images"]) if split else 0


def _batch(manifest: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Return the batch that is asked for, else the default recipe's."""
    known = {"batch", "batch-size", "bs", "batchsize"}
    for number, text in enumerate(arguments):
        name, equals, value = text.partition("=")
        given = value if equals else "".join(arguments[number + 1 : number + 2])
        if name.lstrip("-").replace("_", "-") in known and re.fullmatch(r"[1-9]\d{0,5}", given):
            return int(given)
    batch = manifest["card"]["recipe"].get("batch")
    return batch if isinstance(batch, int) and batch > 0 else OptimizerSettings().batch

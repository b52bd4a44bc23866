"""The configuration that lies beside a checkpoint, which has none inside."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from psp.errors import PspError
from psp.zoo.configs.python_text import BASES, LONGEST, as_text, read_config

HEAD = "PSPHead"
# Where a log's dump of the configuration ends: at the next line with a date.
DATED = re.compile(r"^(?:\d{4}[-/]\d\d[-/]\d\d|\d\d/\d\d) \d\d:\d\d:\d\d", re.M)


class Beside(NamedTuple):
    """A configuration's text, the name of its file, and what of it is missing."""

    text: str = ""
    name: str = ""
    missing: tuple[str, ...] = ()


def mmseg_beside(weights: Path) -> Beside:
    """Return mmsegmentation's configuration in a checkpoint's folder, or an empty one.

    Its training writes the file there, into vis_data/config.py of a folder with a date, and into
    its logs, which are asked after the files. Several that differ decide nothing.
    """
    folder = weights.parent
    for paths in (folder.glob("*.py"), folder.glob("*/vis_data/config.py"), _logs(folder)):
        found = {beside.text: beside for path in sorted(paths) if (beside := _read(path))}
        if found:
            return next(iter(found.values())) if len(found) == 1 else Beside()
    return Beside()


def semseg_beside(weights: Path) -> Path | None:
    """Return semseg's configuration in a checkpoint's folder or the one above, if there is one.

    Its training copies it there, above model/.
    """
    for folder in (weights.parent, weights.resolve().parent.parent):
        found = [path for path in _safely(folder, ("*.yaml", "*.yml")) if _has(path, "zoom_factor")]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _logs(folder: Path) -> Iterable[Path]:
    return _safely(folder, ("*.log.json", "*.log", "*/*.log"))


def _safely(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())


def _has(path: Path, word: str) -> bool:
    try:
        return path.stat().st_size <= LONGEST and word in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _read(path: Path) -> Beside | None:
    """Return what a file has, if it is a configuration of a PSPNet or a log with one."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST)  # of a log, its beginning has the configuration
    except (OSError, UnicodeDecodeError):
        return None  # it is not one of those
    if path.suffix == ".json":
        text = _of_json(text.partition("\n")[0])
    elif path.suffix == ".log":
        text = _of_log(text)
    elif BASES in text:
        try:
            values, missing = read_config(path)
        except PspError:
            return None
        text = as_text(values)
        return Beside(text, path.name, tuple(missing)) if HEAD in text else None
    return Beside(text, path.name) if HEAD in text else None


def _of_json(line: str) -> str:
    """Return the configuration in the first line of a log of a version before 1.0."""
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    text = first.get("config") if isinstance(first, dict) else None
    return text if isinstance(text, str) else ""


def _of_log(text: str) -> str:
    """Return the configuration that a log has after "Config:"."""
    _, said, rest = text.partition("Config:\n")
    end = DATED.search(rest)
    return rest[: end.start()] if said and end else rest if said else ""

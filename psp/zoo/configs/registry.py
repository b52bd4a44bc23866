"""Configurations of other programs, by the suffix of their files."""

from collections.abc import Callable
from pathlib import Path

from psp.errors import PspError
from psp.zoo.configs.config import ForeignConfig
from psp.zoo.configs.mmseg import read_mmseg_config
from psp.zoo.configs.semseg import read_semseg_config

READERS: dict[str, Callable[[Path], ForeignConfig]] = {
    ".py": read_mmseg_config,
    ".yaml": read_semseg_config,
    ".yml": read_semseg_config,
}


def is_config(path: Path) -> bool:
    """Whether a file is read as a configuration, not as weights."""
    return path.suffix.lower() in READERS


def find_config(path: Path) -> ForeignConfig:
    """Return what a configuration says. Raises PspError for one that psp cannot read."""
    if not path.is_file():
        raise PspError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}.")
    try:
        return READERS[path.suffix.lower()](path)
    except PspError as error:
        raise error if str(error).startswith(str(path)) else PspError(f"{path}: {error}") from None

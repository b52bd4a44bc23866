"""The pictures of a call: names of results and the files they are of."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path


class Pictures(Mapping[str, Path]):
    """Names to files, kept as texts: a million paths would take a gigabyte."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files

    def __getitem__(self, name: str) -> Path:
        return Path(self.files[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def some_of(pictures: Mapping[str, Path], names: Iterable[str]) -> Mapping[str, Path]:
    """Return the pictures of these names, in this order."""
    if isinstance(pictures, Pictures):
        return Pictures({name: pictures.files[name] for name in names})
    return {name: pictures[name] for name in names}

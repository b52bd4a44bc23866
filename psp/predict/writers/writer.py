"""What a kind of output of psp predict provides: the bytes of a picture's file, or of one for all.

A writer is one value in a file of its own, and one line in `registry.py` or one entry point of the
group `psp.writers`. It decides only what is in its files; when they are written, where, and what is
done already is decided in one place for all writers (`stages.py` and `folder.py` of this room).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psp.errors import PspError
from psp.images.kinds import LeftOut
from psp.predict.packs import read_packed
from psp.render import OverlayStyle


@dataclass(frozen=True)
class Prediction:
    """What is known of one picture when its files are written."""

    name: str  # of its results: a path without suffix, such as "sub/photo"
    image: NDArray[np.uint8]  # (H, W, 3) RGB, upright
    labels: NDArray[np.uint8]  # (H, W), the most probable class ids
    classes: tuple[str, ...]  # names, in id order
    palette: tuple[tuple[int, int, int], ...]  # the classes' (R, G, B) colors, in id order
    source: Path = Path()  # the picture's file
    probabilities: NDArray[np.float16] | None = None  # (classes, H, W), if a writer needs them
    confidence: NDArray[np.float16] | None = None  # (H, W), the labels' probability, likewise
    style: OverlayStyle = field(default_factory=OverlayStyle)  # of what is drawn over the picture


@dataclass(frozen=True)
class Results:
    """What is known of all pictures of a folder: the results of every call and share, by name."""

    out: Path  # the folder
    records: Path  # its predictions.jsonl
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    writers: "tuple[Writer, ...]" = ()  # of this call
    left_out: LeftOut = field(default_factory=LeftOut)  # files of this call's folders

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the record of each picture that has a label map, sorted by name.

        A record has `name`, `source` (the picture's path), `height`, `width` and `shares`: class
        name to its share of the pixels, for the classes in the picture, the largest first.
        """
        return (record for record in self._records() if "error" not in record)

    def read(self, record: dict[str, Any], writer: "Writer") -> bytes:
        """Return what a writer wrote of a picture: its file, or what a tar has in its place."""
        if place := record.get("packed", {}).get(writer.name):
            return read_packed(self.out, place)
        return (self.out / writer.folder / f"{record['name']}{writer.suffix}").read_bytes()

    def failed(self) -> Iterator[dict[str, Any]]:
        """Yield the record of each picture without a result: its `name`, and its `error`."""
        return (record for record in self._records() if "error" in record)

    def _records(self) -> Iterator[dict[str, Any]]:
        with self.records.open("rb") as file:
            yield from map(json.loads, file)


@dataclass(frozen=True, kw_only=True)
class Writer:
    """One kind of output: a file for each picture, one file for all of them, or both.

    `write` returns the contents of out/`folder`/NAME`suffix`. It may raise PspError: then that
    picture has failed, and the others go on. It runs in several threads at a time.

    `collect` returns the contents of out/`file`. It is called whenever all pictures of a call have
    been recorded, and makes the file anew, so that it is the same after any number of calls,
    interruptions and shares. What it needs besides the records, `write` puts into files.
    """

    name: str  # in --write
    folder: str = ""
    suffix: str = ""
    write: Callable[[Prediction], bytes] | None = None
    probabilities: bool = False  # whether `write` needs them: they take time and much memory
    confidence: bool = False  # whether `write` needs it: a little of both
    optional: bool = False  # whether a picture is finished without its file
    draws: bool = False  # whether `write` draws classes over the picture, in the prediction's style
    file: str = ""
    collect: Callable[[Results], bytes] | None = None

    def __post_init__(self) -> None:
        """Raise PspError for a writer without the places of its files, or without any file."""
        complete = bool(self.write) == bool(self.folder and self.suffix)
        if not complete or bool(self.collect) != bool(self.file):
            raise PspError(
                f"writer {self.name}: `write` needs folder and suffix, `collect` needs file"
            )
        if not (self.write or self.collect):
            raise PspError(f"writer {self.name}: needs `write`, `collect`, or both")

    @property
    def places(self) -> tuple[str, ...]:
        """Where its files are, below the folder of results: ("labels/",)."""
        return (*([f"{self.folder}/"] if self.write else []), *([self.file] if self.file else []))

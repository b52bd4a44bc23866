"""What a record says of a picture's result: from which file it was made, and what was written."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from psp.predict.packs import Place

# Who wrote the files of records from before there were writers. They do not say it: what exists was
# written.
OLD_WRITERS = ("labels", "overlays", "probabilities")


@dataclass(frozen=True, slots=True)
class State:
    """From which file a picture's result was made, and which writers wrote files of it."""

    source: str  # absolute path
    content: tuple[int, int]  # its bytes, and time of change in ns
    written: frozenset[str]
    packed: tuple[tuple[str, Place], ...] = ()  # writers, and where their files are in tars

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "State":
        """Return the state that a record of a result describes."""
        written = _names(tuple(record.get("written", OLD_WRITERS)))
        places = record.get("packed", {}).items()
        packed = tuple((name, (sys.intern(file), *rest)) for name, (file, *rest) in places)
        content = (record["bytes"], record["changed"])
        return cls(record["source"], content, written, packed)

    def after(self, before: "State | None") -> "State":
        """Return this state with what an earlier record of the same file says was written."""
        if before is None or before.content != self.content:
            return self
        earlier = tuple(place for place in before.packed if place[0] not in self.written)
        written = self.written | before.written
        return State(self.source, self.content, written, earlier + self.packed)


def source_state(source: Path) -> tuple[str, int, int]:
    """Return a file's absolute path, bytes, and time of change in ns; -1 if it is missing."""
    path = os.path.abspath(source)
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return path, -1, -1
    return path, status.st_size, status.st_mtime_ns


@cache
def _names(names: tuple[str, ...]) -> frozenset[str]:
    """Return the set of some names, the same object for all the pictures that have the same."""
    return frozenset(names)

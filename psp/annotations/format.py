"""What a format of labeling tools is: how its exports are recognized and read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from psp.annotations.place import Place
from psp.annotations.records import Export


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What the user adds to an export.

    `video` is the clip that its tracks were drawn on; `masks` says which files are the masks where
    there are two kinds, as `labels/*.png`.
    """

    video: Path | None = None
    masks: str = ""


@dataclass(frozen=True)
class Format:
    """A format, by the name that people know it by.

    `recognizes(place)` says by content, not by names alone, whether the files are such an export;
    it reads little and never raises for files of other kinds. `read(place, options)` returns the
    export; it raises PspError, naming file and item, where the export as a whole cannot be read,
    and gives what is wrong with one picture to that picture.
    """

    title: str
    recognizes: Callable[[Place], bool]
    read: Callable[[Place, ReadOptions], Export]

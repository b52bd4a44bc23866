"""The report of an evaluation, and of the run it belongs to: one HTML file.

What a record holds are texts and numbers that are ready to be shown; who fills it knows what they
mean. A report without classes is that of a run which has not been evaluated yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from psp.pages.confusions_in_words import largest_confusions
from psp.pages.line_chart import Chart, drawn
from psp.pages.page import JPEG, PNG, data_uri, write_page

CONFUSIONS = 10  # in words, of each kind


@dataclass(frozen=True)
class ClassRow:
    """A class: its color #rrggbb, its scores from 0 to 1 (None where undefined), its pixels in the
    labels and in the predictions, and in how many pictures it is labeled."""

    name: str
    color: str
    iou: float | None
    accuracy: float | None
    boundary_f: float | None
    pixels: int
    predicted: int
    images: int


@dataclass(frozen=True)
class PictureCard:
    """A picture, three files of the same size: a photo (JPEG), and class ids (gray PNG) of target
    and prediction. `why` is why it is shown, such as worst."""

    name: str
    why: str
    miou: float | None
    pixel_accuracy: float | None
    photo: bytes
    target: bytes
    prediction: bytes

    @property
    def uris(self) -> dict[str, str]:
        """The three files as sources of images."""
        return {
            "photo": data_uri(self.photo, JPEG),
            "target": data_uri(self.target, PNG),
            "prediction": data_uri(self.prediction, PNG),
        }


@dataclass(frozen=True)
class Fact:
    """A line of a list: what, its value, and more about it if there is more to say."""

    title: str
    text: str
    more: str = ""


@dataclass(frozen=True)
class SettingRow:
    """A setting of the training: who set it, and whether it is another than the default."""

    name: str
    value: str
    source: str
    given: bool


@dataclass(frozen=True)
class Link:
    """Another page beside this one: its address relative to this, what it is of, its score."""

    address: str
    title: str
    score: str
    how: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that a report shows. `confusion` is int64 (classes, classes), [true, predicted];
    None where it is not known."""

    title: str
    how: str  # one line on how it was measured
    scores: Sequence[Fact] = ()  # the first ones large
    conventions: Sequence[Fact] = ()  # means of IoU
    facts: Sequence[Fact] = ()  # fingerprints, versions
    notes: Sequence[str] = ()
    classes: Sequence[ClassRow] = ()
    confusion: NDArray[np.int64] | None = None
    pictures: Sequence[PictureCard] = ()
    charts: Sequence[Chart] = ()
    settings: Sequence[SettingRow] = ()
    links: Sequence[Link] = field(default=())


def write_report_page(path: Path, report: Report) -> None:
    """Write a report, whole or not at all. Raises PspError if the file cannot be written."""
    names = [row.name for row in report.classes]
    pixels, predicted = (
        max(1, sum(getattr(row, key) for row in report.classes)) for key in ("pixels", "predicted")
    )
    matrix = report.confusion
    confusions = [
        [] if matrix is None else largest_confusions(matrix, names, CONFUSIONS, by_prediction=side)
        for side in (False, True)
    ]
    values = {
        "report": report,
        "charts": [chart for chart in map(drawn, report.charts) if chart],
        "pixels": pixels,
        "predicted": predicted,
        "widest": max(
            (max(row.pixels / pixels, row.predicted / predicted) for row in report.classes),
            default=1,
        )
        or 1,
        "confusions": confusions,
        "data": {
            "names": names,
            "colors": [row.color for row in report.classes],
            "confusion": None if matrix is None else matrix.tolist(),
        },
    }
    write_page(path, "report.html.j2", values)

"""Published weights by procedure: the published score, the one measured anew, their difference.

Only what was measured as published is set beside it: the whole validation split, by the procedure
that the weights carry with nothing changed. What nobody measured stays empty.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psp.data.cardfile import find_card
from psp.model.procedure import Procedure
from psp.zoo.catalog import Entry, Score


@dataclass(frozen=True)
class Measured:
    """A score that was measured, in percent, of published weights by their name."""

    weights: str
    dataset: str
    split: str
    images: int
    procedure: Procedure
    miou: float
    psp: str  # the version
    date: str  # YYYY-MM-DD
    path: Path


@dataclass(frozen=True)
class Row:
    """A published score, and what was measured for it, the newest if it was several times."""

    entry: Entry
    score: Score
    measured: Measured | None

    @property
    def difference(self) -> float | None:
        """By how much the measured mIoU is above the published one; None: nobody measured."""
        return self.measured.miou - self.score.miou if self.measured else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        found = self.measured
        return {
            "name": self.entry.name,
            "card": self.entry.card,
            "test": self.entry.procedure.name if self.entry.procedure else None,
            "procedure": self.score.procedure,
            "published": self.score.miou,
            "measured": found.miou if found else None,
            "difference": self.difference,
            "psp": found.psp if found else None,
            "date": found.date if found else None,
            "file": str(found.path) if found else None,
        }


def scorecard(entries: Iterable[Entry], measured: Iterable[Measured] = ()) -> list[Row]:
    """Return a row for each published score, with what was `measured` for it."""
    newest_first = sorted(measured, key=lambda found: (found.date, str(found.path)), reverse=True)
    return [
        Row(entry, score, next((m for m in newest_first if _is_of(m, entry, score)), None))
        for entry in entries
        for score in entry.scores
    ]


def _is_of(found: Measured, entry: Entry, score: Score) -> bool:
    """Whether a measurement is that of a published score, and of all that it was measured on."""
    if (found.weights, found.dataset, found.split) != (entry.name, entry.card, "val"):
        return False
    images = {split.name: split.images for split in find_card(entry.card).splits}["val"]
    if found.images != images or entry.procedure is None:
        return False
    procedure = found.procedure
    if procedure.name != entry.procedure.name or procedure.changed:
        return False
    several = score.procedure.startswith("multi-scale")
    return procedure.scales == (procedure.rules.scales if several else (1.0,))

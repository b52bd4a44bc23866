"""Stored evaluations side by side: psp compare.

Runs whose settings differ in the seed alone, scored in the same way on the same data, become one
entry: the mean, and the sample standard deviation (n - 1) over the runs. Where entries were
measured differently, that is said, and none is called the best.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from psp.evaluate.entries import Entry, find_entries, unlike
from psp.evaluate.metrics import SCORES
from psp.evaluate.record import EvaluationRecord
from psp.events import Report, ignore


@dataclass(frozen=True)
class Value:
    """A score from 0 to 1; of several runs their mean and deviation. None: undefined."""

    mean: float | None
    deviation: float | None = None


@dataclass(frozen=True)
class Row:
    """A score, a class's IoU or a picture's mIoU in each entry."""

    name: str
    values: tuple[Value, ...]

    @property
    def moved(self) -> float:
        """The largest difference between entries, 0 where one has no value."""
        means = [value.mean for value in self.values if value.mean is not None]
        return max(means) - min(means) if len(means) == len(self.values) else 0.0

    def best(self) -> list[int]:
        """Return the entries with the highest mean, several if they are equal."""
        means = [-math.inf if value.mean is None else value.mean for value in self.values]
        return [i for i, mean in enumerate(means) if mean == max(means) > -math.inf]


@dataclass(frozen=True)
class Comparison:
    """Entries side by side. `differences` says in what they were measured differently; if that is
    not empty, their order means nothing; if it is, `how` says how all were measured. `remarks` says
    what else the numbers are."""

    entries: tuple[str, ...]
    scores: tuple[Row, ...]
    classes: tuple[Row, ...]
    pictures: tuple[Row, ...]
    differences: tuple[str, ...]
    remarks: tuple[str, ...]
    how: str

    @property
    def ranked(self) -> bool:
        """Whether a higher score is a better one."""
        return not self.differences

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "ranked": self.ranked}


def most_moved(rows: Sequence[Row], count: int) -> list[Row]:
    """Return the rows that differ most between entries, the most first; equal ones left out."""
    moved = [row for row in rows if row.moved > 0]
    return sorted(moved, key=lambda row: (-row.moved, row.name))[:count]


def compare(
    things: Sequence[Path], evaluation: str | None = None, report: Report = ignore
) -> Comparison:
    """Compare stored evaluations; `find_entries` says what may be named, and what it raises."""
    entries = find_entries(things, evaluation, report)
    first = entries[0].records[0]
    everything = [entry.records for entry in entries]
    return Comparison(
        entries=tuple(entry.name for entry in entries),
        scores=tuple(
            Row(
                score.title,
                tuple(_value([r.scores.get(score.key) for r in group]) for group in everything),
            )
            for score in SCORES
            if any(score.key in record.scores for records in everything for record in records)
        ),
        classes=_rows(everything, [c.name for c in first.classes], _ious),
        pictures=_rows(everything, [p.name for p in first.pictures], _mious),
        differences=(different := tuple(_differences(entries))),
        how="" if different else first.described(),
        remarks=tuple(_remarks(entries)),
    )


def _differences(entries: Sequence[Entry]) -> list[str]:
    """Return in what each entry was measured differently from the first, a line each."""
    first = entries[0].records[0]
    return [
        f"{entry.name} and {entries[0].name}: {text}"
        for entry in entries[1:]
        for text in unlike(entry.records[0], first)
    ]


def _remarks(entries: Sequence[Entry]) -> list[str]:
    return [
        f"{entry.name} ({', '.join(entry.others)}): mean ± sample standard deviation of "
        f"{len(entry.records)} runs that differ in the seed alone"
        for entry in entries
        if len(entry.records) > 1
    ]


_Records = Sequence[Sequence[EvaluationRecord]]


def _rows(
    everything: _Records, names: Sequence[str], of: Callable[[EvaluationRecord], dict[str, Any]]
) -> tuple[Row, ...]:
    """Return a row for each name that all entries have."""
    tables = [[of(record) for record in records] for records in everything]
    shared = [name for name in names if all(name in t for group in tables for t in group)]
    return tuple(
        Row(name, tuple(_value([table[name] for table in group]) for group in tables))
        for name in shared
    )


def _ious(record: EvaluationRecord) -> dict[str, Any]:
    return {entry.name: entry.iou for entry in record.classes}


def _mious(record: EvaluationRecord) -> dict[str, Any]:
    return {entry.name: entry.miou for entry in record.pictures}


def _value(values: Sequence[float | None]) -> Value:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Value(None)
    return Value(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)

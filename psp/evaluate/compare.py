"""Stored evaluations side by side: psp compare.

Runs whose settings differ in the seed alone, scored in the same way on the same data, become one
entry: the mean, and the sample standard deviation (n - 1) over the runs. Where entries were
measured differently, that is said, and none is called the best.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from psp.errors import PspError, nearest
from psp.evaluate.evaluation import procedure_values
from psp.evaluate.metrics import SCORES
from psp.evaluate.record import FOLDER, EvaluationRecord, read_record, run_records
from psp.events import Notice, Report, ignore
from psp.runs import Run, run_folder
from psp.settings.section import show
from psp.settings.sources import differences


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
    not empty, their order means nothing. `remarks` says what else the numbers are."""

    entries: tuple[str, ...]
    scores: tuple[Row, ...]
    classes: tuple[Row, ...]
    pictures: tuple[Row, ...]
    differences: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def ranked(self) -> bool:
        """Whether a higher score is a better one."""
        return not self.differences

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "ranked": self.ranked}


@dataclass(frozen=True)
class _Entry:
    name: str
    records: tuple[EvaluationRecord, ...]
    run: Run | None


def most_moved(rows: Sequence[Row], count: int) -> list[Row]:
    """Return the rows that differ most between entries, the most first; equal ones left out."""
    moved = [row for row in rows if row.moved > 0]
    return sorted(moved, key=lambda row: (-row.moved, row.name))[:count]


def compare(
    things: Sequence[Path], evaluation: str | None = None, report: Report = ignore
) -> Comparison:
    """Compare runs, by their folders or names, and stored evaluations, by their files.

    `evaluation` names which of the runs' evaluations; None is one that all have, else the newest of
    each. Raises PspError for fewer than two, and for what is none or is damaged.
    """
    if len(things) < 2:
        raise PspError("psp compare: name two or more runs or evaluations, such as: A B")
    entries = _grouped(_named(_found(things, evaluation, report)))
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
        differences=tuple(_differences(entries)),
        remarks=tuple(_remarks(entries)),
    )


def _found(things: Sequence[Path], name: str | None, report: Report) -> list[_Entry]:
    """Return an entry for each thing that was named."""
    runs = {thing: Run(run_folder(thing)) for thing in things if not thing.is_file()}
    stored = {thing: _stored(run) for thing, run in runs.items()}
    if name is None:
        shared = [r for r in next(iter(stored.values()), []) if _all_have(stored.values(), r.name)]
        if shared:
            name = _newest(shared).name
            if others := [record.name for record in shared if record.name != name]:
                report(Notice(f"compared by {name}; --evaluation also takes: {', '.join(others)}"))
    return [
        _Entry(
            runs[thing].folder.name if thing in runs else thing.stem,
            (_chosen(runs[thing], stored[thing], name) if thing in runs else read_record(thing),),
            runs.get(thing),
        )
        for thing in things
    ]


def _stored(run: Run) -> list[EvaluationRecord]:
    run.read_config()
    records, others = run_records(run.folder)
    if not records:
        if others:
            raise PspError(others[0])
        raise PspError(
            f"{run.folder}: no evaluation is stored. Make one: psp evaluate {run.folder}"
        )
    return records


def _all_have(runs: Iterable[Sequence[EvaluationRecord]], name: str) -> bool:
    return all(any(record.name == name for record in records) for records in runs)


def _chosen(run: Run, records: Sequence[EvaluationRecord], name: str | None) -> EvaluationRecord:
    if name is None:
        return _newest(records)
    names = {record.name: record for record in records}
    if name not in names:
        raise PspError(
            f"{run.folder / FOLDER}: no evaluation '{name}' (there are: {', '.join(names)})."
            f"{nearest(name, names)}"
        )
    return names[name]


def _newest(records: Sequence[EvaluationRecord]) -> EvaluationRecord:
    return max(records, key=lambda record: record.path.stat().st_mtime_ns)


def _named(entries: list[_Entry]) -> list[_Entry]:
    """Return the entries with their paths as names where names alone are not distinct."""
    names = [entry.name for entry in entries]
    return [
        entry
        if names.count(entry.name) == 1
        else _Entry(str(entry.run.folder if entry.run else entry.records[0].path), *_rest(entry))
        for entry in entries
    ]


def _rest(entry: _Entry) -> tuple[tuple[EvaluationRecord, ...], Run | None]:
    return entry.records, entry.run


def _grouped(entries: list[_Entry]) -> list[_Entry]:
    """Return the entries with runs that differ in the seed alone joined, where the first stood."""
    groups: list[list[_Entry]] = []
    for entry in entries:
        group = next((group for group in groups if _same_but_seed(group[0], entry)), None)
        if group is None:
            groups.append([entry])
        else:
            group.append(entry)
    return [
        _Entry(
            group[0].name if len(group) == 1 else f"{group[0].name} and {len(group) - 1} more",
            tuple(record for entry in group for record in entry.records),
            group[0].run,
        )
        for group in groups
    ]


def _same_but_seed(one: _Entry, other: _Entry) -> bool:
    if one.run is None or other.run is None or one.run.folder == other.run.folder:
        return False
    if one.run.read_config()["data_fingerprint"] != other.run.read_config()["data_fingerprint"]:
        return False
    if _unlike(one.records[0], other.records[0]):
        return False
    changed = differences(one.run.training_config(), other.run.training_config())
    return [text.partition(":")[0] for text in changed] == ["seed"]


def _differences(entries: Sequence[_Entry]) -> list[str]:
    """Return in what each entry was measured differently from the first, a line each."""
    first = entries[0].records[0]
    return [
        f"{entry.name} and {entries[0].name}: {text}"
        for entry in entries[1:]
        for text in _unlike(entry.records[0], first)
    ]


def _unlike(one: EvaluationRecord, other: EvaluationRecord) -> list[str]:
    """Return what makes the scores of two evaluations no measure of the same."""
    found = []
    if (one.dataset, one.split) != (other.dataset, other.split):
        found.append(f"{one.dataset} {one.split} and {other.dataset} {other.split}")
    elif one.data is None or other.data is None:
        found.append("whether the data are the same is not known: an older psp did not store it")
    elif one.data != other.data:
        found.append(
            f"other data: {one.dataset} {one.split} of {one.images} pictures and of {other.images}"
            + " that are not the same" * (one.images == other.images)
        )
    if [c.name for c in one.classes] != [c.name for c in other.classes]:
        found.append(f"other classes: {len(one.classes)} and {len(other.classes)}")
    mine, its = (procedure_values(r.procedure, r.precision) for r in (one, other))
    found += [
        f"{key} {_shown(mine, key)} and {_shown(its, key)}"
        for key in sorted({*mine, *its})
        if mine.get(key) != its.get(key)
    ]
    return found


def _shown(values: dict[str, Any], key: str) -> str:
    return show(values[key]) if key in values else "as by default"


def _remarks(entries: Sequence[_Entry]) -> list[str]:
    return [
        f"{entry.name}: mean ± sample standard deviation of {len(entry.records)} runs that differ "
        "in the seed alone"
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

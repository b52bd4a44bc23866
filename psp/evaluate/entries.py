"""What psp compare compares: which stored evaluations are meant, and which belong together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from psp.errors import PspError, nearest
from psp.evaluate.evaluation import procedure_values
from psp.evaluate.record import EvaluationRecord, read_record, stored_records
from psp.events import Notice, Report
from psp.model.procedure import Procedure
from psp.runs import Run, run_folder
from psp.settings.section import show
from psp.settings.sources import differences

_DEFAULTS = {item.name: item.default for item in fields(Procedure)}


@dataclass(frozen=True)
class Entry:
    """A column of a comparison: an evaluation, or those of runs that differ in the seed alone.

    `run` is the (first) evaluation's, None where that was named by its file or lies elsewhere;
    `others` are the names of the runs that were joined with the first.
    """

    name: str
    records: tuple[EvaluationRecord, ...]
    run: Run | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    """A folder with stored evaluations, such as a run's."""

    folder: Path
    records: tuple[EvaluationRecord, ...]
    run: Run | None


def find_entries(things: Sequence[Path], evaluation: str | None, report: Report) -> list[Entry]:
    """Return what is to be compared, two entries or more.

    A thing is a run, by its folder or name, another folder of evaluations, or the file of one.
    `evaluation` names which one of the folders; None is the newest that all have, else the newest
    of each. Of a single folder all evaluations are compared. Raises PspError for fewer than two,
    and for what is none or is damaged.
    """
    if len(things) == 1 and not things[0].is_file() and evaluation is None:
        place = _place(things[0])
        entries = [Entry(record.name, (record,)) for record in place.records]
    else:
        entries = _named(things, evaluation, report)
    if len(entries) < 2:
        raise PspError(
            "psp compare: that is one evaluation. Name two or more runs or evaluations: psp "
            "compare A B"
        )
    return _joined(_distinct(entries))


def _named(things: Sequence[Path], name: str | None, report: Report) -> list[Entry]:
    """Return an entry for each thing that was named."""
    places = {thing: _place(thing) for thing in things if not thing.is_file()}
    if name is None and places:
        name = _shared([place.records for place in places.values()], report)
    entries = []
    for thing in things:
        if thing in places:
            place = places[thing]
            entries.append(Entry(place.folder.name, (_chosen(place, name),), place.run))
        else:
            entries.append(Entry(thing.stem, (read_record(thing),)))
    return entries


def _place(thing: Path) -> _Place:
    """Return what a folder or the name of a run means. Raises PspError if it has no evaluation."""
    run = Run(run_folder(thing))
    if run.folder.is_dir() and not run.config.exists() and any(run.folder.glob("*.json")):
        folder, run_or_none = run.folder, None
    else:
        run.read_config()
        folder, run_or_none = run.evaluations, run
    records, others = stored_records(folder)
    if not records:
        raise PspError(
            others[0]
            if others
            else f"{run.folder}: no evaluation is stored. Make one: psp evaluate {run.folder}"
        )
    return _Place(run.folder, tuple(records), run_or_none)


def _shared(places: Sequence[Sequence[EvaluationRecord]], report: Report) -> str | None:
    """Return the name of the newest evaluation that all have, and say which others there are."""
    shared = [record for record in places[0] if _all_have(places, record.name)]
    if not shared:
        return None
    name = _newest(shared).name
    if others := [record.name for record in shared if record.name != name]:
        report(Notice(f"compared by {name}; --evaluation also takes: {', '.join(others)}"))
    return name


def _all_have(places: Iterable[Sequence[EvaluationRecord]], name: str) -> bool:
    return all(any(record.name == name for record in records) for records in places)


def _chosen(place: _Place, name: str | None) -> EvaluationRecord:
    if name is None:
        return _newest(place.records)
    names = {record.name: record for record in place.records}
    if name not in names:
        raise PspError(
            f"{place.folder}: no evaluation '{name}' (there are: {', '.join(names)})."
            f"{nearest(name, names)}"
        )
    return names[name]


def _newest(records: Sequence[EvaluationRecord]) -> EvaluationRecord:
    return max(records, key=lambda record: record.path.stat().st_mtime_ns)


def _distinct(entries: list[Entry]) -> list[Entry]:
    """Return the entries with their paths as names where names alone are not distinct."""
    names = [entry.name for entry in entries]
    return [
        entry
        if names.count(entry.name) == 1
        else replace(entry, name=str(entry.run.folder if entry.run else entry.records[0].path))
        for entry in entries
    ]


def _joined(entries: list[Entry]) -> list[Entry]:
    """Return the entries with runs that differ in the seed alone joined, where the first stood."""
    groups: list[list[Entry]] = []
    for entry in entries:
        group = next((group for group in groups if _same_but_seed(group[0], entry)), None)
        if group is None:
            groups.append([entry])
        else:
            group.append(entry)
    return [
        group[0]
        if len(group) == 1
        else Entry(
            f"{group[0].name} and {len(group) - 1} more",
            tuple(record for entry in group for record in entry.records),
            group[0].run,
            tuple(entry.name for entry in group[1:]),
        )
        for group in groups
    ]


def _same_but_seed(one: Entry, other: Entry) -> bool:
    if one.run is None or other.run is None or one.run.folder == other.run.folder:
        return False
    if one.run.read_config()["data_fingerprint"] != other.run.read_config()["data_fingerprint"]:
        return False
    if unlike(one.records[0], other.records[0]):
        return False
    changed = differences(one.run.training_config(), other.run.training_config())
    return [text.partition(":")[0] for text in changed] == ["seed"]


def unlike(one: EvaluationRecord, other: EvaluationRecord) -> list[str]:
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
    found += _other_classes([c.name for c in one.classes], [c.name for c in other.classes])
    mine, its = (procedure_values(r.procedure, r.precision) for r in (one, other))
    found += [
        f"{key} {show(mine.get(key, _DEFAULTS.get(key)))} and "
        f"{show(its.get(key, _DEFAULTS.get(key)))}"
        for key in sorted({*mine, *its})
        if mine.get(key) != its.get(key)
    ]
    return found


def _other_classes(one: Sequence[str], other: Sequence[str]) -> list[str]:
    if len(one) != len(other):
        return [f"other classes: {len(one)} and {len(other)}"]
    pairs = enumerate(zip(one, other, strict=True))
    return [f"other classes: class {n} is '{a}' and '{b}'" for n, (a, b) in pairs if a != b][:1]

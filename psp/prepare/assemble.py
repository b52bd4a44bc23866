"""From finished shards to a finished folder: the audit, the manifest, the rename, the remarks."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from psp.data.manifest import FORMAT, MANIFEST, VERSION
from psp.data.statistics import read_statistics
from psp.events import Notice, Report
from psp.files import write_json
from psp.prepare import plausibility
from psp.prepare.audit import Problem, check_problems
from psp.prepare.near_duplicates import near_duplicates
from psp.prepare.output import AUDIT, finish
from psp.prepare.plan import Plan, PlannedShard
from psp.prepare.writing import Note, read_note


def read_notes(shards: Sequence[PlannedShard], partial: Path) -> dict[str, Note]:
    """Return the notes of the shards that are finished, by file."""
    found = {shard.file: read_note(partial, shard) for shard in shards}
    return {file: note for file, note in found.items() if note is not None}


def assemble(
    plan: Plan, shards: Sequence[PlannedShard], partial: Path, skip_bad: int, report: Report
) -> dict[str, Any]:
    """Write the manifest and the audit of shards that are all finished; return the manifest.

    Raises AuditError if more pairs are bad than may be skipped.
    """
    notes = read_notes(shards, partial)
    problems = [problem for shard in shards for problem in notes[shard.file]["problems"]]
    check_problems(plan, partial, problems, skip_bad)
    said = Counter[str]()
    for note in notes.values():
        said.update(note["said"])
    for text, count in sorted(said.items()):
        report(Notice(f"{count} {text}"))
    entries: dict[str, list[dict[str, Any]]] = {split.name: [] for split in plan.splits}
    for shard in shards:
        if (entry := notes[shard.file]["entry"]) is not None:
            entries[shard.split.name].append(entry)
    manifest = _manifest(plan, entries, problems)
    write_json(partial / MANIFEST, manifest)
    statistics = read_statistics(partial).to_dict()
    remarks = [*plan.remarks, *plan.unused]
    findings = {"remarks": remarks, "missing": list(plan.missing), "problems": problems}
    write_json(partial / AUDIT, {**statistics, **findings})
    return manifest


def put_in_place(
    plan: Plan, partial: Path, out: Path, manifest: dict[str, Any], report: Report
) -> None:
    """Rename the folder of shards, which is complete, and say what a person should look at."""
    files = {shard["file"] for split in manifest["splits"].values() for shard in split["shards"]}
    finish(partial, out, files)
    for remark in (*plan.conversion.remarks(), *plausibility.remarks(out, manifest)):
        report(Notice(remark))
    if plan.card.exports or plan.card.folders:  # official splits are what they are
        for remark in near_duplicates(out, manifest):
            report(Notice(remark))


def _manifest(
    plan: Plan, entries: dict[str, list[dict[str, Any]]], problems: list[Problem]
) -> dict[str, Any]:
    skipped = {(problem["split"], problem["name"]) for problem in problems}
    splits = {
        split.name: {
            "images": sum(shard["images"] for shard in entries[split.name]),
            "labels": split.labels,
            "skipped": sorted(name for in_split, name in skipped if in_split == split.name),
            "shards": entries[split.name],
        }
        for split in plan.splits
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "dataset": plan.card.name,
        "card": json.loads(plan.card.to_json()),
        "source": plan.source,
        "conversion": plan.conversion.header(),
        "splits": splits,
    }

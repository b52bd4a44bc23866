"""psp prepare: check and convert every pair, write the shards, then the audit and the manifest.

A run that was killed is continued from its finished shards. Bad pairs do not stop a run: all of
them are collected, and at the end their number decides whether the output is kept.
"""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from psp.data.card import Card
from psp.data.manifest import FORMAT, MANIFEST, VERSION
from psp.data.shard_writer import shard_entry, write_shard
from psp.data.staging import Staged
from psp.data.statistics import read_statistics
from psp.errors import PspError
from psp.events import Incomplete, Notice, Progress, Report, ignore
from psp.files import write_json
from psp.locks import only_writer
from psp.prepare import plausibility
from psp.prepare.audit import Problem, check_problems, problem_of
from psp.prepare.conversion import Conversion
from psp.prepare.convert import BadPairError, Converter
from psp.prepare.layouts.layout import Source
from psp.prepare.missing import MissingError
from psp.prepare.near_duplicates import near_duplicates
from psp.prepare.output import (
    AUDIT,
    OccupiedError,
    begin,
    check_disk_space,
    check_output,
    finish,
    is_occupied,
    is_shard_folder,
    keep_finished,
    note_of,
    partial_of,
    read_complete,
    read_existing,
    read_note,
)
from psp.prepare.own.gather import Gathered
from psp.prepare.plan import Plan, PlannedShard, make_plan
from psp.workers import map_in_processes, warm_up

SHARD_MB = 256


def prepare(
    card: Card,
    raw: Path,
    out: Path,
    *,
    sbd: Path | None = None,
    gathered: Gathered | None = None,
    conversion: Conversion = Conversion(),  # noqa: B008 - it is frozen
    shard_mb: float = SHARD_MB,
    allow_incomplete: bool = False,
    skip_bad: int = 0,
    overwrite: bool = False,
    workers: int = 1,
    report: Report = ignore,
) -> dict[str, Any]:
    """Convert the official files under `raw` into shards in the folder `out`; return the manifest.

    `gathered` is what was read of own data (psp/prepare/own), for a card with a table [exports].
    If `out` was made from the same input, it is returned unchanged, unless `overwrite` is set. The
    bytes are the same for any number of `workers` (processes that convert).

    Raises PspError if anything in the input is missing, broken or unknown to the card (up to
    `skip_bad` pairs may be), or if `out` has other files than shards in it. Then `out` is not
    changed, and every problem is listed in OUT.partial/audit.json.
    """
    out = check_output(out, [raw, sbd] if sbd else [raw])
    with only_writer(out, report):  # before the first byte
        return _prepare(
            Source(raw, card, sbd, gathered),
            out,
            conversion,
            shard_mb,
            allow_incomplete,
            skip_bad,
            overwrite,
            workers,
            report,
        )


def _prepare(
    source: Source,
    out: Path,
    conversion: Conversion,
    shard_mb: float,
    allow_incomplete: bool,
    skip_bad: int,
    overwrite: bool,
    workers: int,
    report: Report,
) -> dict[str, Any]:
    """Do the work of `prepare` as the only process that writes `out`."""
    if workers > 1:
        warm_up(Converter)
    try:
        plan = make_plan(source, conversion, round(shard_mb * 1e6), allow_incomplete)
    except MissingError as error:
        if len(error.files) > 1 and not is_occupied(out):
            partial = begin(out)
            write_json(partial / AUDIT, {"dataset": source.card.name, "missing": error.files})
            raise PspError(f"{error} (all of them: {partial / AUDIT})") from None
        raise
    _say_unused(plan, report)
    if is_occupied(out):
        if not overwrite:
            manifest = read_existing(out, plan.source, plan.newest)
            report(Notice(f"{out}: made from this input already. To redo it, add --overwrite"))
            return manifest
        if not is_shard_folder(out):
            raise OccupiedError(f"{out}: has other files than shards in it. Choose another -o")
    check_disk_space(out, _required_bytes(plan))
    for remark in plan.remarks:
        report(Notice(remark))
    partial = partial_of(out)
    complete = read_complete(partial, plan.source, plan.newest)
    if complete is None:
        begin(out)
        try:
            manifest = _convert(plan, partial, skip_bad, workers, report)
        except BaseException:
            keep_finished(partial)
            raise
    else:
        manifest = complete
    files = {shard["file"] for split in manifest["splits"].values() for shard in split["shards"]}
    finish(partial, out, files)
    for remark in (*conversion.remarks(), *plausibility.remarks(out, manifest)):
        report(Notice(remark))
    if source.card.exports or source.card.folders:  # official splits are what they are
        for remark in near_duplicates(out, manifest):
            report(Notice(remark))
    return manifest


def _say_unused(plan: Plan, report: Report) -> None:
    """Say which files in the folders of pictures and masks are not used."""
    for text, others in zip(plan.unused, filter(str, plan.left_out.values()), strict=True):
        report(Incomplete(text) if others.pictures else Notice(text))


def _required_bytes(plan: Plan) -> int:
    """Return how many bytes the shards take, together with the staging files of two of them."""
    total = sum(plan.stored_bytes(item) for items in plan.splits.values() for item in items)
    return total + min(total, 2 * plan.shard_bytes)


def _convert(
    plan: Plan, partial: Path, skip_bad: int, workers: int, report: Report
) -> dict[str, Any]:
    """Write all shards that are not finished yet, then the audit and the manifest."""
    shards = list(plan.shards())
    problems: list[Problem] = []
    total, done = sum(plan.images.values()), 0
    finished = {shard.file: read_note(partial / shard.file, shard.digest) for shard in shards}
    todo = [(s, item) for s in shards if finished[s.file] is None for item in s.items]
    tasks = (((shard.stem, item.pair), plan.stored_bytes(item)) for shard, item in todo)
    workers = min(workers, 1 + len(todo) // 16)
    arguments = (plan.card, plan.conversion, partial)

    notes = Counter[str]()

    def add_problems(new: list[Problem]) -> None:
        problems.extend(new)
        for problem in new if skip_bad else ():  # else the error at the end has them
            report(Notice(f"left out: {problem['problem']}"))

    def staged_samples(shard: PlannedShard, bad: list[Problem]) -> Iterator[Staged]:
        """Yield the shard's samples as they are converted; append what is wrong to `bad`."""
        nonlocal done
        for item, result in zip(shard.items, islice(results, len(shard.items)), strict=True):
            if isinstance(result, BadPairError):
                new = [problem_of(shard, item.pair, text) for text in result.problems]
                bad += new
                add_problems(new)
            else:
                notes.update(result.notes)
                yield result
            done += 1
            report(Progress(done, total, "pairs"))

    # While one shard is written, the pairs of the next are converted.
    writing: list[Future[dict[str, Any] | None]] = []
    with (
        closing(map_in_processes(Converter, arguments, tasks, workers)) as results,
        ThreadPoolExecutor(1) as writer,
    ):
        for shard in shards:
            known_problems = finished[shard.file]
            bad: list[Problem] = []
            samples = list(staged_samples(shard, bad)) if known_problems is None else []
            if writing:
                writing[-1].result()  # so that at most two shards have staging files
            if known_problems is None:
                writing.append(writer.submit(_write, partial, plan, shard, samples, bad))
            else:
                add_problems(known_problems)
                done += len(shard.items)
                report(Progress(done, total, "pairs"))
                writing.append(writer.submit(_entry, partial / shard.file))
    entries: dict[str, list[dict[str, Any]]] = {split.name: [] for split in plan.splits}
    for shard, future in zip(shards, writing, strict=True):
        entry = future.result()
        if entry is not None:
            entries[shard.split.name].append(entry)
    check_problems(plan, partial, problems, skip_bad)
    for note, count in sorted(notes.items()):
        report(Notice(f"{count} {note}"))
    manifest = _manifest(plan, entries, problems)
    write_json(partial / MANIFEST, manifest)
    statistics = read_statistics(partial).to_dict()
    remarks = [*plan.remarks, *plan.unused]
    findings = {"remarks": remarks, "missing": list(plan.missing), "problems": problems}
    write_json(partial / AUDIT, {**statistics, **findings})
    return manifest


def _write(
    folder: Path, plan: Plan, shard: PlannedShard, samples: list[Staged], bad: list[Problem]
) -> dict[str, Any] | None:
    """Write one shard and its note; return its manifest entry, or None if all pairs are bad."""
    path, entry = folder / shard.file, None
    path.unlink(missing_ok=True)
    if samples:
        entry = write_shard(
            path,
            shard.split.name,
            plan.card,
            samples,
            labeled=shard.split.labels,
            conversion=plan.conversion.header(),
        )
    write_json(note_of(path), {"digest": shard.digest, "problems": bad, "empty": not samples})
    for staging_file in {sample.file for sample in samples}:
        (folder / staging_file).unlink()
    return entry


def _entry(path: Path) -> dict[str, Any] | None:
    """Return the entry of a shard that an earlier run finished; None if all its pairs are bad."""
    return shard_entry(path) if path.is_file() else None


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

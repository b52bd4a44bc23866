"""Shards and their notes: what of a plan is converted, and what of it is finished.

A note is written after its shard: `train-00000.json` has the digest of the shard's input, its entry
in the manifest (null if all of its pairs are bad), the problems found in it, and how often what was
said of its pictures. So another run, or another machine, knows a finished shard without reading it.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from psp.data.shard_writer import write_shard
from psp.data.staging import Staged
from psp.events import Notice, Progress, Report
from psp.files import write_json
from psp.prepare.audit import Problem, problem_of
from psp.prepare.convert import BadPairError, Converter
from psp.prepare.plan import Plan, PlannedShard
from psp.workers import map_in_processes

Note = dict[str, Any]


def write_shards(
    plan: Plan,
    shards: Sequence[PlannedShard],
    partial: Path,
    skip_bad: int,
    workers: int,
    report: Report,
) -> None:
    """Write those of the shards that are not finished yet, each with its note.

    While one shard is written, the pairs of the next are converted.
    """
    total, done = sum(len(shard.items) for shard in shards), 0
    finished = {shard.file for shard in shards if _is_sound(read_note(partial, shard))}
    todo = [shard for shard in shards if shard.file not in finished]
    tasks = (((s.stem, item.pair), plan.stored_bytes(item)) for s in todo for item in s.items)
    workers = min(workers, 1 + sum(len(shard.items) for shard in todo) // 16)
    arguments = (plan.card, plan.conversion, partial)

    def staged_samples(
        shard: PlannedShard, bad: list[Problem], said: Counter[str]
    ) -> Iterator[Staged]:
        """Yield the shard's samples as they are converted; append what is wrong to `bad`."""
        nonlocal done
        for item, result in zip(shard.items, islice(results, len(shard.items)), strict=True):
            if isinstance(result, BadPairError):
                new = [problem_of(shard, item.pair, text) for text in result.problems]
                bad += new
                for problem in new if skip_bad else ():  # else the error at the end has them
                    report(Notice(f"left out: {problem['problem']}"))
            else:
                said.update(result.notes)
                yield result
            done += 1
            report(Progress(done, total, "pairs"))

    writing: Future[None] | None = None
    with (
        closing(map_in_processes(Converter, arguments, tasks, workers)) as results,
        ThreadPoolExecutor(1) as writer,
    ):
        for shard in shards:
            if shard.file in finished:
                done += len(shard.items)
                report(Progress(done, total, "pairs"))
                continue
            note_path(partial, shard).unlink(missing_ok=True)
            bad: list[Problem] = []
            said = Counter[str]()
            samples = list(staged_samples(shard, bad, said))
            if writing:
                writing.result()  # so that at most two shards have staging files
            writing = writer.submit(_write, partial, plan, shard, samples, bad, said)
        if writing:
            writing.result()


def _write(
    folder: Path,
    plan: Plan,
    shard: PlannedShard,
    samples: list[Staged],
    bad: list[Problem],
    said: Counter[str],
) -> None:
    """Write one shard and its note."""
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
    note = {"digest": shard.digest, "entry": entry, "problems": bad, "said": said}
    write_json(note_path(folder, shard), note)
    for staging_file in {sample.file for sample in samples}:
        (folder / staging_file).unlink()


def note_path(partial: Path, shard: PlannedShard) -> Path:
    """Return the path of a shard's note."""
    return partial / f"{shard.stem}.json"


def read_note(partial: Path, shard: PlannedShard) -> Note | None:
    """Return the note of a shard that was made from this input; None if it must be made (again)."""
    try:
        note: Note = json.loads(note_path(partial, shard).read_text(encoding="utf-8"))
        entry = note["entry"]  # of a shard whose pairs are all bad, there is no file
        whole = entry is None or (partial / shard.file).stat().st_size == entry["bytes"]
        return note if note["digest"] == shard.digest and whole else None
    except (OSError, ValueError, LookupError, TypeError):
        return None  # missing, or not completely written


def _is_sound(note: Note | None) -> bool:
    """Whether nothing is wrong in a shard: bad files are read again in another run.

    A repaired file may have the size and time of the broken one.
    """
    return note is not None and not note["problems"]

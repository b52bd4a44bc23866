"""One share of a conversion: machines that share a folder share the shards of a plan.

Each makes the whole plan, from names, sizes and times, and converts every Nth shard of it into
OUT.partial. Nobody waits: who finds, after its own share, that no shard is missing, writes the
manifest and renames the folder, from the notes of all. So the bytes are those of one process.
"""

from typing import Any

from psp.errors import PspError
from psp.events import Notice
from psp.locks import InUseError, only_writer
from psp.prepare.assemble import assemble, put_in_place, read_notes
from psp.prepare.audit import AuditError, EmptySplitError, check_problems
from psp.prepare.output import (
    check_disk_space,
    join,
    read_complete,
    read_existing,
    remove_temporary,
)
from psp.prepare.plan import Plan, PlannedShard, make_plan
from psp.prepare.work import Work, required_bytes
from psp.prepare.writing import write_shards
from psp.ranks import Share

FEW = 8  # parts that a message names


def prepare_part(work: Work, share: Share) -> dict[str, Any] | None:
    """Write this share's shards; return the manifest if they were the last, or all was there.

    Raises PspError as `prepare` does, and if another share was started with other options or files.
    """
    with only_writer(work.out, work.report, share=str(share)):
        plan = make_plan(work.source, work.conversion, work.shard_bytes, work.allow_incomplete)
        if (made := work.made_already(plan)) is not None:
            return made
        shards = list(plan.shards())
        if _complete(work, plan) is None:
            _write_own(work, plan, shards, list(share.of(shards)), share)
    if _complete(work, plan) is None:
        notes = read_notes(shards, work.partial)
        missing = [k % share.total + 1 for k, s in enumerate(shards) if s.file not in notes]
        if missing:
            work.report(Notice(_unfinished(work, share, missing)))
            return None
    try:
        with only_writer(work.out, work.report):
            return _finished(work, plan, shards)
    except InUseError:
        return None  # another share is about to do it


def _write_own(
    work: Work, plan: Plan, shards: list[PlannedShard], own: list[PlannedShard], share: Share
) -> None:
    if not own:
        return  # there are more shares than shards
    check_disk_space(work.out, required_bytes(plan, own))
    stems = {shard.stem for shard in own}
    mark = {"parts": share.total, "options": plan.options, "names": plan.names}
    partial = join(work.out, mark)
    remove_temporary(partial, stems)  # of a run that was killed
    try:
        write_shards(plan, own, partial, work.skip_bad, work.workers, work.report)
    finally:
        remove_temporary(partial, stems)
    notes = read_notes(shards, partial)
    if any(notes[shard.file]["problems"] for shard in own):
        problems = [problem for note in notes.values() for problem in note["problems"]]
        try:
            check_problems(plan, partial, problems, work.skip_bad)
        except EmptySplitError as error:
            raise AuditError(str(error)) from None


def _unfinished(work: Work, share: Share, missing: list[int]) -> str:
    """Say which parts have shards to write; `missing` has the part of each such shard."""
    parts = sorted(set(missing))
    shown = f"{', '.join(map(str, parts[:FEW]))}{', …' if len(parts) > FEW else ''}"
    return (
        f"{work.partial}: part {share.number} of {share.total} is done. {len(missing)} shards are "
        f"to come from {'part' if len(parts) == 1 else 'parts'} {shown}; the last makes {work.out}"
    )


def _complete(work: Work, plan: Plan) -> dict[str, Any] | None:
    """Return the manifest if only the last step is missing, because its process was killed."""
    return read_complete(work.partial, plan.source, plan.newest, some_skipped=True)


def _finished(work: Work, plan: Plan, shards: list[PlannedShard]) -> dict[str, Any]:
    """Make the folder whole, and say what one process would have said."""
    if not work.partial.exists():  # another share was faster
        return read_existing(work.out, plan.source, plan.newest)
    try:
        manifest = _complete(work, plan)
        if manifest is None:
            manifest = assemble(plan, shards, work.partial, work.skip_bad, work.report)
        work.say_unused(plan)
        work.say_remarks(plan)
        put_in_place(plan, work.partial, work.out, manifest, work.report)
    except EmptySplitError as error:
        raise AuditError(str(error)) from None
    except (OSError, LookupError, PspError):
        if work.partial.exists():
            raise
        # Where the file system knows no locks, another share did the same at the same time.
        return read_existing(work.out, plan.source, plan.newest)
    return manifest

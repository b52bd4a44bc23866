"""psp prepare: check and convert every pair, write the shards, then the audit and the manifest.

A run that was killed is continued from its finished shards. Bad pairs do not stop a run: all of
them are collected, and at the end their number decides whether the output is kept.
"""

from pathlib import Path
from typing import Any

from psp.data.card import Card
from psp.errors import PspError
from psp.events import Report, ignore
from psp.files import write_json
from psp.locks import only_writer
from psp.prepare.assemble import assemble, put_in_place
from psp.prepare.conversion import Conversion
from psp.prepare.convert import Converter
from psp.prepare.layouts.layout import Source
from psp.prepare.missing import MissingError
from psp.prepare.output import (
    AUDIT,
    begin,
    check_disk_space,
    check_output,
    is_occupied,
    keep_finished,
    read_complete,
)
from psp.prepare.own.gather import Gathered
from psp.prepare.parts import prepare_part
from psp.prepare.plan import Plan, make_plan
from psp.prepare.work import Work, required_bytes
from psp.prepare.writing import write_shards
from psp.ranks import Share
from psp.workers import warm_up

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
    share: Share = Share(),  # noqa: B008 - it is frozen
    report: Report = ignore,
) -> dict[str, Any] | None:
    """Convert the official files under `raw` into shards in the folder `out`; return the manifest.

    `gathered` is what was read of own data (psp/prepare/own), for a card with a table [exports].
    If `out` was made from the same input, it is returned unchanged, unless `overwrite` is set. The
    bytes are the same for any number of `workers` (processes that convert), and of shares.

    Raises PspError if anything in the input is missing, broken or unknown to the card (up to
    `skip_bad` pairs may be), or if `out` has other files than shards in it. Then `out` is not
    changed, and every problem is listed in OUT.partial/audit.json.

    With `share`, only that share of the shards is written. The last of all shares makes the folder
    whole; the others return None.
    """
    out = check_output(out, [raw, sbd] if sbd else [raw])
    work = Work(
        source=Source(raw, card, sbd, gathered),
        out=out,
        conversion=conversion,
        shard_bytes=round(shard_mb * 1e6),
        allow_incomplete=allow_incomplete,
        skip_bad=skip_bad,
        overwrite=overwrite,
        workers=workers,
        report=report,
    )
    if workers > 1:
        warm_up(Converter)
    if share.total > 1:
        return prepare_part(work, share)
    with only_writer(out, report):  # before the first byte
        return _prepare(work)


def _prepare(work: Work) -> dict[str, Any]:
    """Do the work as the only process that writes `out`."""
    plan = _planned(work)
    work.say_unused(plan)
    if (made := work.made_already(plan)) is not None:
        return made
    shards = list(plan.shards())
    check_disk_space(work.out, required_bytes(plan, shards))
    work.say_remarks(plan)
    partial = work.partial
    manifest = read_complete(partial, plan.source, plan.newest)
    if manifest is None:
        begin(work.out)
        try:
            write_shards(plan, shards, partial, work.skip_bad, work.workers, work.report)
            manifest = assemble(plan, shards, partial, work.skip_bad, work.report)
        except BaseException:
            keep_finished(partial)
            raise
    put_in_place(plan, partial, work.out, manifest, work.report)
    return manifest


def _planned(work: Work) -> Plan:
    """Return the plan; what is missing, if that is much, is listed in a file."""
    try:
        return make_plan(work.source, work.conversion, work.shard_bytes, work.allow_incomplete)
    except MissingError as error:
        if len(error.files) > 1 and not is_occupied(work.out):
            audit = begin(work.out) / AUDIT
            write_json(audit, {"dataset": work.source.card.name, "missing": error.files})
            raise PspError(f"{error} (all of them: {audit})") from None
        raise

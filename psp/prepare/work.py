"""What `prepare` is asked to do, and what of it is there already."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psp.events import Incomplete, Notice, Report
from psp.prepare.conversion import Conversion
from psp.prepare.layouts.layout import Source
from psp.prepare.output import (
    OccupiedError,
    is_occupied,
    is_shard_folder,
    partial_of,
    read_existing,
)
from psp.prepare.plan import Plan, PlannedShard


@dataclass(frozen=True, kw_only=True)
class Work:
    """The arguments of `prepare`."""

    source: Source
    out: Path
    conversion: Conversion
    shard_bytes: int
    allow_incomplete: bool
    skip_bad: int
    overwrite: bool
    workers: int
    report: Report

    @property
    def partial(self) -> Path:
        """The folder that the shards are in until all are finished."""
        return partial_of(self.out)

    def made_already(self, plan: Plan) -> dict[str, Any] | None:
        """Return the manifest of `out` if there is nothing to do; None if there is.

        Raises OccupiedError if `out` is something else, and must not be replaced.
        """
        if not is_occupied(self.out):
            return None
        if not self.overwrite:
            manifest = read_existing(self.out, plan.source, plan.newest)
            self.report(
                Notice(f"{self.out}: made from this input already. To redo it, add --overwrite")
            )
            return manifest
        if not is_shard_folder(self.out):
            raise OccupiedError(f"{self.out}: has other files than shards in it. Choose another -o")
        return None

    def say_unused(self, plan: Plan) -> None:
        """Say which files in the folders of pictures and masks are not used."""
        for text, others in zip(plan.unused, filter(str, plan.left_out.values()), strict=True):
            self.report(Incomplete(text) if others.pictures else Notice(text))

    def say_remarks(self, plan: Plan) -> None:
        """Say what is worth knowing of the input."""
        for remark in plan.remarks:
            self.report(Notice(remark))


def required_bytes(plan: Plan, shards: list[PlannedShard]) -> int:
    """Return how many bytes the shards take, together with the staging files of two of them."""
    total = sum(plan.stored_bytes(item) for shard in shards for item in shard.items)
    return total + min(total, 2 * plan.shard_bytes)

"""What is wrong with pairs: collected, written to audit.json, and allowed up to a number."""

from pathlib import Path

from psp.errors import PspError
from psp.files import write_json
from psp.prepare.layouts.layout import Pair
from psp.prepare.output import AUDIT
from psp.prepare.plan import Plan, PlannedShard

Problem = dict[str, str]  # split, name, problem


class AuditError(PspError):
    """More pairs are bad than may be skipped, or all pairs of a split are."""


class EmptySplitError(AuditError):
    """All pairs of a split are bad, and might be skipped; `bad` are the names of all that are."""

    def __init__(self, message: str, bad: frozenset[str]) -> None:
        super().__init__(message)
        self.bad = bad


def problem_of(shard: PlannedShard, pair: Pair, text: str) -> Problem:
    """Return the record of what is wrong with a pair."""
    return {"split": shard.split.name, "name": pair.name, "problem": text}


def check_problems(plan: Plan, partial: Path, problems: list[Problem], skip_bad: int) -> None:
    """Write the audit and raise AuditError if more pairs are bad than may be skipped.

    Raises EmptySplitError if they may, but are all of a split.
    """
    bad = {split.name: set[str]() for split in plan.splits}
    for problem in problems:
        bad[problem["split"]].add(problem["name"])
    count = sum(map(len, bad.values()))
    empty = [name for name, names in bad.items() if len(names) == plan.images[name]]
    if count <= skip_bad and not empty:
        return
    record = {"dataset": plan.card.name, "splits": plan.images, "problems": problems}
    write_json(partial / AUDIT, record)
    first = problems[0]["problem"]
    if not first.endswith((".", "?", ".)")):
        first += "."
    if count > 1:
        first += f" There are {count - 1} more bad pairs, all in {partial / AUDIT}."
    if count <= skip_bad:
        raise EmptySplitError(
            f"{first} No picture of split '{empty[0]}' is left. Fix its files.",
            frozenset(name for names in bad.values() for name in names),
        )
    raise AuditError(
        f"{first} Fix the files and run the command again (finished shards are kept), or leave the "
        f"bad pairs out with --skip-bad {count}"
    )

"""Break miniature data sets in many ways and check what `prepare` makes of them.

    PYTHONPATH=tests python -m fuzz.fuzz --variants 500 --seed 0
    PYTHONPATH=tests python -m fuzz.fuzz --seed 3 --only 17  # repeat one variant

A variant is a copy of a miniature official tree (trees.py), broken in one way (helpers/damage.py).
It must be refused with one line that names what is wrong, or be prepared so that the shards hold
what the files hold, as helpers/strict_labels.py reads them (judge.py); nothing may be left out
without a remark. Anything else is a failure.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fuzz.conversion import MEMORY, Worker
from fuzz.judge import judge_refusal, judge_shards, snapshot
from fuzz.trees import BUILDERS
from helpers.damage import DAMAGES


@dataclass(frozen=True)
class Result:
    """The result of a variant; `failure` says what is wrong with it, or is None."""

    number: int
    damage: str
    tree: str
    options: dict
    end: str
    message: str
    failure: str | None

    def __str__(self):
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return (
            f"variant {self.number}: {self.damage}, {self.tree}, {options}\n"
            f"  {self.failure or 'correct'}\n  {self.end}: {self.message}"
        )


class Fuzzer:
    """Variants by number: the same seed and number give the same variant."""

    def __init__(self, folder, seed):
        self.folder, self.seed = folder, seed
        self.trees = {}
        self.worker = Worker()

    def tree(self, kind):
        if kind not in self.trees:
            root = self.folder / "trees" / kind
            self.trees[kind] = BUILDERS[kind](root, np.random.default_rng(self.seed))
        return self.trees[kind]

    def variant(self, number, damage=None):
        """Build a variant, run it, judge it, and remove it."""
        rng = np.random.default_rng([self.seed, number])
        damage = damage or list(DAMAGES)[number % len(DAMAGES)]
        needs = DAMAGES[damage].needs
        kinds = [kind for kind in BUILDERS if not needs or needs in self.tree(kind).traits]
        template = self.tree(kinds[int(rng.integers(len(kinds)))])
        folder = self.folder / f"{number:05d}"
        try:
            shutil.copytree(template.root, folder / "raw", symlinks=True)
            tree = template.moved(folder / "raw")
            faults = DAMAGES[damage].work(tree, rng)
            options = {
                "allow_incomplete": bool(rng.integers(2)),
                "workers": 2 if rng.integers(8) == 0 else 1,
                "shard_mb": (256, 0.01)[int(rng.integers(2))],
            }
            # Half of the changes keep the times: only a new name or size shows them.
            if rng.integers(2):
                keep_times(template.root, tree.root)
            answer, failure = self.trial(tree, faults, folder / "out", options)
            if answer["end"] == "refused" and not failure and number % 3 == 0:
                failure = self.repaired(template, tree, folder / "out", options)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        message = answer["message"].replace(str(folder), "…")
        return Result(
            number,
            damage,
            tree.kind,
            options,
            answer["end"],
            message,
            failure and failure.replace(str(folder), "…"),
        )

    def repaired(self, template, tree, out, options):
        """Restore the files and convert again; return what is wrong with the result, or None."""
        shutil.rmtree(tree.root)
        shutil.copytree(template.root, tree.root, symlinks=True)
        again = self.worker.convert(tree, out, options)
        if again["end"] != "prepared":
            return f"repaired, but still {again['end']}: {again['message']}"
        failure = judge_shards(again, tree, out)
        return failure and f"repaired, but {failure}"

    def trial(self, tree, faults, out, options):
        """Return the answer of a conversion and what is wrong with it, or None."""
        before = snapshot(tree.root)
        answer = self.worker.convert(tree, out, options)
        if answer["end"] not in ("prepared", "refused"):
            return answer, answer["end"]
        if answer["end"] == "refused":
            failure = judge_refusal(answer, tree, faults, out)
        else:
            failure = judge_shards(answer, tree, out)
        said = out.with_name("said.txt").read_bytes()
        if snapshot(tree.root) != before:
            failure = "the raw files were changed"
        elif not failure and answer["memory"] > MEMORY:
            failure = f"took {answer['memory'] >> 20} MB of memory"
        elif not failure and (answer["warned"] or said):
            failure = f"printed: {answer['warned'] or said!r}"
        return answer, failure


def keep_times(template, root):
    """Give the files of a copy the times of the originals."""
    for path in template.rglob("*"):
        copy = root / path.relative_to(template)
        if path.is_file() and not copy.is_symlink() and copy.is_file():
            status = path.stat()
            os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))


def table(results):
    """The counts by damage, as a Markdown table."""
    rows = ["| kind of damage | variants | refused | prepared, harmless | failures |"]
    rows.append("|---|---:|---:|---:|---:|")
    for damage in [*DAMAGES, None]:
        some = [one for one in results if damage in (None, one.damage)]
        ends = Counter("failed" if one.failure else one.end for one in some)
        if some:
            rows.append(
                f"| {damage or 'all'} | {len(some)} | {ends['refused']} | {ends['prepared']} | "
                f"{ends['failed']} |"
            )
    return "\n".join(rows)


def main():
    """Run the variants, print the table and every failure; exit with 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--variants", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one variant")
    parser.add_argument("--verbose", action="store_true", help="show every message")
    arguments = parser.parse_args()
    numbers = range(arguments.variants) if arguments.only is None else [arguments.only]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), arguments.seed)
        for number in numbers:
            result = fuzzer.variant(number)
            results.append(result)
            if result.failure or arguments.verbose or arguments.only is not None:
                # Messages may hold anything; what cannot be printed is escaped.
                print(str(result).encode(errors="backslashreplace").decode() + "\n", flush=True)
        fuzzer.worker.close()
    print(table(results))
    return any(result.failure for result in results)


if __name__ == "__main__":
    sys.exit(main())

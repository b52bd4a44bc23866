"""The paper's ladder on a data set: python tests/benchmarks/ladder.py SHARDS --steps 2000

Trains a dilated FCN, one with the auxiliary loss, and one with the pyramid too (the paper, tables 1
and 2) through psp train, so many seeds of each, and scores them on a split through psp evaluate.
Options that it does not know go on to psp train. Prints a Markdown table: mean and spread over
seeds. A run that was stopped goes on where it was, and a finished one is not repeated.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

LADDER = {
    "dilated FCN": ["--set", "aux_weight=0", "--set", "bins=none"],
    "+ auxiliary loss": ["--set", "bins=none"],
    "+ pyramid": [],
}
SCORES = ("miou", "pixel_accuracy")


def psp(*arguments: object) -> dict:
    """Run a command of psp and return what it says in JSON."""
    command = [sys.executable, "-m", "psp", *map(str, arguments), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def spread(values: list[float]) -> str:
    """Return mean and standard deviation in percent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):.1f} ± {100 * deviation:.1f}"


def main() -> None:
    """Train, score and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", default="test")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("ladder"))
    options, others = parser.parse_known_args()
    found: dict[str, list[dict]] = {name: [] for name in LADDER}
    for seed in range(options.seeds):
        for number, (name, settings) in enumerate(LADDER.items()):
            run = options.out / f"{number}-{seed}"
            psp(
                "train",
                options.shards,
                "-o",
                run,
                "--steps",
                options.steps,
                "--seed",
                seed,
                "--device",
                options.device,
                *settings,
                *others,
                *(["--resume"] if (run / "checkpoints").exists() else []),
            )
            scores = psp("evaluate", run, "--split", options.split, "--device", options.device)
            found[name].append(scores)
    print(f"| network | seeds | {' | '.join(SCORES)} |\n|---|---|{'---|' * len(SCORES)}")
    for name, scores in found.items():
        cells = [spread([score[kind] for score in scores]) for kind in SCORES]
        print(f"| {name} | {len(scores)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

"""Writes docs/scorecard.md: each published score of psp's catalog, and what psp measured for it.

    python docs/scorecard.py
    python docs/scorecard.py ade20k-r50-mmseg --data data/ade20k

The first writes the page anew. The second, on a machine with the data, fills a row: it runs
`psp evaluate` with all its arguments, which stores the evaluation in the folder scores, and takes
over what `psp models --scores` finds there. The measured rows are in scorecard.json beside this
file. A test checks that the page is up to date.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from psp.zoo.catalog import entries
from psp.zoo.scorecard import scorecard

PAGE = Path(__file__).with_name("scorecard.md")
MEASURED = Path(__file__).with_name("scorecard.json")
SCORES = Path("scores")
HEAD = """\
# Scorecard

Every published score of the networks that `psp models` has by name, in percent of mIoU on the
validation split, and what psp measured by the same procedure, with which version, when, and in
which file. Empty cells are empty: nobody measured them with psp. This page is written by
`python docs/scorecard.py`.

On a machine with the data, one command fills a row and writes the page; the second row of a network
is of `--multi-scale`:

    python docs/scorecard.py ade20k-r50-mmseg --data data/ade20k
    python docs/scorecard.py ade20k-r50-mmseg --data data/ade20k --multi-scale

It runs `psp evaluate`, and takes over only what `psp models --scores` accepts: all pictures of the
split, the procedure that the weights carry, with no option that changes it.

| weights | card | published with | published | measured | difference | psp | date | file |
|---|---|---|--:|--:|--:|---|---|---|
"""


def page(measured: list[dict[str, Any]]) -> str:
    """Return the page, with these rows measured."""
    of = {(row["name"], row["procedure"]): row for row in measured}
    lines = [
        _line(row | of.get((row["name"], row["procedure"]), {}))
        for row in (row.to_dict() for row in scorecard(entries().values()))
    ]
    return HEAD + "".join(lines)


def _line(row: dict[str, Any]) -> str:
    measured = row["measured"]
    cells = [
        f"`{row['name']}`",
        row["card"],
        f"{row['test']}, {row['procedure']}",
        f"{row['published']:.2f}",
        "" if measured is None else f"{measured:.2f}",
        "" if measured is None else f"{measured - row['published']:+.2f}",
        row["psp"] or "",
        row["date"] or "",
        f"`{row['file']}`" if row["file"] else "",
    ]
    return f"| {' | '.join(cells)} |\n".replace("|  |", "| |").replace("|  |", "| |")


def with_rows(measured: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the measured rows with those of `psp models --scores --json` that are measured."""
    keys = ("name", "procedure", "measured", "psp", "date", "file")
    new = [{key: row[key] for key in keys} for row in rows if row["measured"] is not None]
    names = {(row["name"], row["procedure"]) for row in new}
    kept = [row for row in measured if (row["name"], row["procedure"]) not in names]
    return sorted([*kept, *new], key=lambda row: (row["name"], row["procedure"]))


def main(arguments: list[str]) -> None:
    """Measure if there are arguments, and write the page."""
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    if arguments:
        psp = [sys.executable, "-m", "psp"]
        subprocess.run([*psp, "evaluate", *arguments, "-o", str(SCORES)], check=True)
        found = [*psp, "models", "--scores", "--measured", str(SCORES), "--json"]
        rows = json.loads(subprocess.run(found, check=True, capture_output=True).stdout)
        measured = with_rows(measured, rows)
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(measured), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

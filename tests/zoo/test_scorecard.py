"""The scorecard: a measured score stands beside a published one only if it is of the same."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.evaluations import stored

from psp.data.cardfile import find_card
from psp.model.procedure import Procedure
from psp.zoo.catalog import entries
from psp.zoo.scorecard import Measured, scorecard

ENTRY = entries()["ade20k-r50-mmseg"]
ONE = Measured(
    weights=ENTRY.name,
    dataset="ade20k",
    split="val",
    images=2000,
    procedure=Procedure(513, name="mmseg-0.x", windows="whole", resize="2048x512"),
    miou=42.50,
    psp="0.2.0",
    date="2026-11-26",
    path=Path("val-ss.json"),
)


def test_every_published_score_has_a_row_and_none_is_invented():
    rows = scorecard(entries().values())
    assert len(rows) == sum(len(entry.scores) for entry in entries().values())
    assert all(row.measured is None and row.difference is None for row in rows)


def test_what_was_measured_as_published_is_set_beside_it():
    several = replace(ONE, miou=43.0, procedure=replace(ONE.procedure, flip=True, scales=SCALES))
    older = replace(ONE, miou=1.0, date="2025-01-01")
    first, second = scorecard([ENTRY], [older, several, ONE])
    assert first.measured == ONE and first.difference == pytest.approx(42.50 - 42.48)
    assert second.measured == several and second.difference == pytest.approx(43.0 - 43.44)


SCALES = ONE.procedure.rules.scales


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "ade20k-r101-mmseg"},
        {"dataset": "voc2012"},
        {"split": "train"},
        {"images": 1999},
        {"procedure": replace(ONE.procedure, name="torch", windows="square")},
        {"procedure": replace(ONE.procedure, changed=("without flip",))},
        {"procedure": replace(ONE.procedure, scales=(0.5, 1.0))},
    ],
)
def test_what_was_measured_otherwise_is_not(change):
    assert all(row.measured is None for row in scorecard([ENTRY], [replace(ONE, **change)]))


def test_the_card_says_how_many_pictures_are_all():
    assert {s.name: s.images for s in find_card("ade20k").splits}["val"] == ONE.images


def test_the_command_reads_what_evaluate_stored(psp, tmp_path):
    procedure = ONE.procedure
    stored(tmp_path / "scores/val-ss.json", procedure=procedure)
    path = tmp_path / "scores/val-ss.json"
    value = json.loads(path.read_text())
    value |= {"weights": ENTRY.name, "dataset": "ade20k", "images": 2000}
    path.write_text(json.dumps(value))
    _, out, _ = psp("models", "--scores", "--measured", "scores", "--json", check=0)
    (row,) = (row for row in json.loads(out) if row["measured"] is not None)
    assert row["name"] == ENTRY.name and row["procedure"] == "one scale"
    assert row["measured"] == 100 * value["miou"] and row["file"] == "scores/val-ss.json"
    _, out, _ = psp("models", "--scores", "--measured", "scores", check=0)
    (line,) = (line for line in out.splitlines() if "val-ss.json" in line)
    assert f"{100 * value['miou'] - 42.48:+.2f}" in line and "42.48" in line
    (tmp_path / "none").mkdir()
    code, _, err = psp("models", "--scores", "--measured", "none")
    assert code == 2 and "none" in err and "psp evaluate" in err


def test_the_page_is_current_and_one_measurement_fills_one_row():
    """After a change of the catalog: python docs/scorecard.py"""
    docs = Path(__file__).parents[2] / "docs"
    script = runpy.run_path(str(docs / "scorecard.py"))
    measured = json.loads((docs / "scorecard.json").read_text())
    page = (docs / "scorecard.md").read_text(encoding="utf-8")
    assert page == script["page"](measured)
    known = {(row.entry.name, row.score.procedure) for row in scorecard(entries().values())}
    assert {(row["name"], row["procedure"]) for row in measured} <= known
    rows = [row.to_dict() for row in scorecard(entries().values(), [ONE])]
    filled = script["page"](script["with_rows"]([], rows)).splitlines()
    empty = script["page"]([]).splitlines()
    (new,) = (line for line, other in zip(filled, empty, strict=True) if line != other)
    cells = ["42.48", "42.50", "+0.02", "0.2.0", "2026-11-26", "`val-ss.json` |"]
    assert new.split(" | ")[3:] == cells
    again = script["with_rows"](script["with_rows"]([], rows), rows)
    assert len(again) == 1

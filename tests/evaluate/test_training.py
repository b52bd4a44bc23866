"""What a report shows of a training: its curves, and who set each setting."""

import json

from psp.evaluate.training import training_charts, training_settings
from psp.runs import Run
from psp.settings.config import train_config


def test_the_curves_are_those_of_the_log(tmp_path):
    """A line that a kill cut off, one that is no object, and values that are none are left out."""
    lines = [
        json.dumps({"event": "step", "step": 2, "loss": 3.0, "main": 2.0, "dice": 1.0, "lr": 0.1}),
        json.dumps({"event": "step", "step": 4, "loss": 2.0, "main": 1.5, "dice": 0.5, "lr": 0.05}),
        json.dumps({"event": "validation", "step": 4, "miou": 0.25, "best": True}),
        "[1]",
        json.dumps({"event": "step", "step": "x", "loss": 9}),
        json.dumps({"event": "step", "step": 6, "loss": None})[:-5],
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    charts = {chart.title: chart for chart in training_charts(tmp_path / "metrics.jsonl")}
    assert [s.name for s in charts["loss"].series] == ["loss", "main", "dice"]
    assert charts["loss"].series[0].points == [(2.0, 3.0), (4.0, 2.0)]
    assert charts["learning rate"].series[0].points == [(2.0, 0.1), (4.0, 0.05)]
    scores = charts["validation scores, %"]
    assert scores.percent and scores.series[0].points == [(4.0, 0.25)]
    assert "images per second" not in charts
    assert training_charts(tmp_path / "nowhere") == []


def test_every_setting_says_who_set_it(tmp_path):
    run = Run(tmp_path)
    values = train_config(lr=0.02, crop=89, steps=500, momentum=0.8).flat()
    config = {
        "settings": values,
        "data": "/d",
        "data_fingerprint": "f",
        "command": "psp train 'my data' --lr 0.02 --set seed=0",
        "sources": {"steps": "from the pictures: 30 epochs"},
    }
    run.config.write_text(json.dumps(config))
    rows = {row.name: row for row in training_settings(run)}
    assert rows.keys() == values.keys()
    assert (rows["lr"].value, rows["lr"].source) == ("0.02", "command")
    assert rows["seed"].source == "command" and rows["seed"].given  # also where it is the default
    assert rows["steps"].source == "from the pictures: 30 epochs"
    assert rows["momentum"].source == "recipe" and rows["crop"].source == "recipe"
    assert "default" in rows["power"].source and not rows["power"].given

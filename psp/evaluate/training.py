"""What a report shows of a training: its curves and its settings, from the run's files."""

import json
import math
import shlex
from collections import defaultdict
from pathlib import Path
from typing import Any

from psp.evaluate.metrics import SCORES
from psp.files import read_bytes
from psp.pages.line_chart import Chart, Point, Series
from psp.pages.report import SettingRow
from psp.runs import Run
from psp.settings.config import SETTINGS, train_config
from psp.settings.section import show

# The keys of a step's line that are no terms of its loss.
_NO_TERMS = {"event", "step", "loss", "lr", "images_per_second", "seconds_left"}
_CURVES = ("miou", "pixel_accuracy", "mean_accuracy")  # of the validations


def training_charts(metrics: Path) -> list[Chart]:
    """Return the curves in metrics.jsonl: losses, scores of validations, learning rate, speed.

    A line that is none, as a run that was killed leaves it, is left out.
    """
    lines: dict[str, dict[str, list[Point]]] = {"step": defaultdict(list)}
    lines["validation"] = defaultdict(list)
    for record in _records(metrics):
        for key, value in record.items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                lines[record["event"]][key].append((float(record["step"]), float(value)))
    steps, validations = lines["step"], lines["validation"]
    titles = {score.key: score.title for score in SCORES}
    terms = [key for key in steps if key not in _NO_TERMS]
    charts = [
        Chart(
            "validation scores, %",
            [Series(titles[key], validations[key], dots=True) for key in _CURVES],
            percent=True,
        ),
        Chart("loss", [Series(key, steps[key]) for key in ("loss", *terms)]),
        Chart("learning rate", [Series("backbone", steps["lr"])]),
        Chart("images per second", [Series("training", steps["images_per_second"])]),
    ]
    return [chart for chart in charts if any(series.points for series in chart.series)]


def _records(path: Path) -> list[dict[str, Any]]:
    records = []
    for line in read_bytes(path).splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        known = isinstance(record, dict) and record.get("event") in ("step", "validation")
        if known and isinstance(record.get("step"), (int, float)):
            records.append(record)
    return records


def training_settings(run: Run) -> list[SettingRow]:
    """Return a run's settings with who set each: the command, the pictures and device, the recipe,
    or the default's source. Raises PspError for a damaged config.json."""
    config = run.read_config()
    values, defaults = run.training_config().flat(), train_config().flat()
    found = config.get("sources")
    sources = found if isinstance(found, dict) else {}
    given = _given(str(config.get("command", "")))
    rows = []
    for name, (_, setting) in SETTINGS.items():
        is_given = name in given or name in sources or values[name] != defaults[name]
        source = f"default ({setting.source})"
        if is_given:
            source = "command" if name in given else str(sources.get(name, "recipe"))
        rows.append(SettingRow(name, show(values[name]), source, is_given))
    return rows


def _given(command: str) -> set[str]:
    """Return the settings that a command line names: as --name, or as name=value."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    names = (word.removeprefix("--").partition("=")[0].replace("-", "_") for word in words)
    return {name for name in names if name in SETTINGS}

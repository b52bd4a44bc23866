"""psp compare: what is put side by side, what is joined, and what is not ranked."""

import csv
import io
import json
import statistics

import pytest
from helpers.errors import error_naming
from helpers.evaluations import stored

from psp.errors import PspError
from psp.evaluate.compare import compare, most_moved
from psp.evaluate.record import read_record
from psp.model.procedure import Procedure
from psp.settings.config import train_config

NAME = "val-ss-flip"


@pytest.fixture
def run(tmp_path):
    """run(name, settings, **how): a run with a stored evaluation; returns its folder."""

    def make(name, settings=None, *, evaluation=NAME, **how):
        folder = tmp_path / "runs" / name
        stored(folder / f"evaluations/{evaluation}.json", **how)
        config = {
            "settings": train_config(**(settings or {})).flat(),
            "data": "/data",
            "data_fingerprint": "d" * 64,
        }
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return make


def score(folder, key="miou"):
    return read_record(folder / f"evaluations/{NAME}.json").scores[key]


def test_evaluations_of_the_same_data_are_ranked(run):
    a, b = run("a", {"lr": 0.01}, seed=1), run("b", {"lr": 0.02}, seed=2, wrong=0.1)
    found = compare([a, b])
    assert found.entries == ("a", "b") and found.ranked
    (miou,) = [row for row in found.scores if row.name == "mIoU"]
    assert [value.mean for value in miou.values] == [score(a), score(b)]
    assert miou.best() == [1]
    assert len(found.classes) == 9 and len(found.pictures) == 5
    moved = most_moved(found.classes, 3)
    assert [row.moved for row in moved] == sorted((r.moved for r in found.classes), reverse=True)[
        :3
    ]


def test_a_file_is_an_entry_too(run, tmp_path):
    a = run("a", seed=1)
    stored(tmp_path / "other/mine.json", seed=2)
    assert compare([a, tmp_path / "other/mine.json"]).entries == ("a", "mine")


def test_runs_that_differ_in_the_seed_alone_are_one_entry(run):
    """Also with another interval of their logs, which changes nothing that is computed."""
    seeds = [run(f"s{n}", {"seed": n, "log_every": n}, seed=n) for n in (1, 2, 3)]
    other = run("other", {"seed": 4, "lr": 0.5}, seed=4)
    found = compare([seeds[0], other, *seeds[1:]])
    assert found.entries == ("s1 and 2 more", "other")
    (miou,) = [row for row in found.scores if row.name == "mIoU"]
    values = [score(folder) for folder in seeds]
    assert miou.values[0].mean == pytest.approx(statistics.fmean(values))
    assert miou.values[0].deviation == pytest.approx(statistics.stdev(values))
    assert miou.values[1].deviation is None
    assert all(word in found.remarks[0] for word in ("3 runs", "seed", "s2, s3"))
    assert "tiny val, 5 pictures" in found.how and "windows of 41" in found.how


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"data": "e" * 64}, ["other data"]),
        ({"procedure": Procedure(crop=41)}, ["flip", "true", "false"]),
        ({"procedure": Procedure(crop=41, flip=True, scales=(1.0, 1.5))}, ["scales", "1.0,1.5"]),
        ({"classes": 8}, ["other classes", "9", "8"]),
        ({"class_names": tuple("abcdefghi")}, ["other classes", "class 0", "'a'"]),
    ],
)
def test_what_was_measured_differently_is_said_and_not_ranked(run, psp, how, words):
    a, b = run("a", {"seed": 1}, seed=1), run("b", {"seed": 2}, seed=2, **how)
    found = compare([a, b])
    assert found.entries == ("a", "b") and not found.ranked
    assert all(word in " ".join(found.differences) for word in words)
    for format_ in ("table", "md", "latex"):
        _, out, _ = psp("compare", a, b, "--format", format_, check=0)
        assert "not ranked" in out and words[0] in out
        assert "**" not in out and "textbf" not in out
    _, _, err = psp("compare", a, b, "--format", "csv", check=0)
    assert words[0] in err


def test_the_newest_evaluation_that_all_have_is_compared(run, tmp_path, psp):
    a, b = run("a", seed=1), run("b", {"lr": 0.5}, seed=2)
    ms = Procedure(crop=41, flip=True, scales=(1.0, 1.5))
    for folder in (a, b):
        run(folder.name, {"lr": 0.5}, evaluation="val-ms", seed=3, procedure=ms)
    run("a", evaluation="val-only-here", seed=5)
    _, _, err = psp("compare", "a", "b", check=0)
    assert "val-ms" in err and NAME in err
    assert compare([a, b], NAME).scores[0].values[0].mean == score(a)
    with error_naming(PspError, "val-only-her", "'val-only-here'", NAME):
        compare([a, b], "val-only-her")


def test_formats_hold_the_same_numbers(run, psp):
    a, b = run("a_1", seed=1), run("b", {"lr": 0.5}, seed=2, wrong=0.1)
    numbers = [f"{100 * score(folder):.2f}" for folder in (a, b)]
    _, out, _ = psp("compare", a, b, "-q", check=0)
    assert all(number in out for number in [*numbers, "difference", "a_1"])
    _, out, _ = psp("compare", a, b, "--format", "md", "-q", check=0)
    assert f"| mIoU | {numbers[0]} | **{numbers[1]}** |" in out and "a\\_1" in out
    _, out, _ = psp("compare", a, b, "--format", "latex", "-q", check=0)
    assert f"mIoU & {numbers[0]} & \\textbf{{{numbers[1]}}} &" in out and "a\\_1" in out
    assert out.count("\\begin{tabular}") == out.count("\\end{tabular}") == 3
    _, out, _ = psp("compare", a, b, "--format", "csv", "-q", check=0)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 8 + 9 + 5
    assert float(rows[0]["a_1"]) == score(a) and float(rows[0]["b"]) == score(b)
    _, out, _ = psp("compare", a, b, "--json", "-q", check=0)
    assert json.loads(out)["scores"][0]["values"][0]["mean"] == score(a)


def test_folders_of_evaluations_are_entries_and_one_is_compared_within(run, tmp_path):
    """As psp evaluate -o writes them; and a run's evaluations by several procedures."""
    a = run("a", seed=1)
    stored(tmp_path / "checked" / f"{NAME}.json", seed=2)
    assert compare([a, tmp_path / "checked"]).entries == ("a", "checked")
    procedure = Procedure(crop=41, flip=True, scales=(1.0, 1.5))
    run("a", evaluation="val-ms", seed=1, procedure=procedure)
    within = compare([a])
    assert within.entries == ("val-ms", NAME) and not within.ranked


@pytest.mark.parametrize(
    ("arguments", "subject", "remedy"),
    [
        (["a"], "one evaluation", "A B"),
        (["a", "weights.safetensors"], "weights.safetensors", "psp evaluate"),
        (["a", "b", "--format", "word"], "word", "latex"),
        (["a", "nowhere"], "nowhere", "config.json"),
        (["a", "empty"], "empty", "psp evaluate"),
        (["a", "runs/a/config.json"], "config.json", "psp evaluate"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(run, psp, tmp_path, arguments, subject, remedy):
    run("a", seed=1), run("b", seed=2)
    (tmp_path / "weights.safetensors").write_bytes(b"x" * 100)
    (run("empty", seed=3) / f"evaluations/{NAME}.json").unlink()
    code, out, err = psp("compare", *arguments)
    assert (code, out) == (2, "") and len(err.strip().splitlines()) == 1
    assert subject in err and remedy in err

"""Progress, narrow terminals, and how a command ends that is interrupted."""

import json

import pytest
from helpers.runs import make_run
from helpers.shards import make_shards
from rich.console import Console
from rich.text import Text

from psp.cli import console
from psp.cli.console import listening, number_table
from psp.cli.interrupted import interrupted
from psp.cli.tables.narrow import show_table, stacked
from psp.events import WINDOWS, Progress


def table():
    shown = number_table("class", "IoU", "accuracy", "boundary F", "pixels", "predicted", "images")
    shown.add_row(Text("sky"), "23.52", "23.52", "1.22", "2,704", "636", "2")
    shown.add_row(Text("a [name] of a class"), "100.00", "-", "0.00", "123,456,789", "0", "0")
    return shown


@pytest.mark.parametrize("width", [40, 50, 60])
def test_on_a_narrow_terminal_a_row_is_a_paragraph_and_nothing_is_cut(width):
    lines = stacked(table(), width)
    assert all(line.cell_len <= width for line in lines)
    text = " ".join(line.plain for line in lines)
    for cell in ("a [name] of a class", "123,456,789", "boundary F 1.22", "IoU 100.00"):
        assert cell in " ".join(text.split())
    assert "…" not in text


@pytest.mark.parametrize(("width", "lines"), [(200, 3), (44, 7)])
def test_a_wide_terminal_has_a_table_and_no_color_is_obeyed(width, lines, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Console(width=width, force_terminal=True, soft_wrap=True, highlight=False)
    show_table(table(), terminal)
    out = capsys.readouterr().out
    assert len(out.splitlines()) == lines and "123,456,789" in out
    assert "\x1b[3" not in out


def test_where_nobody_looks_a_line_is_as_long_as_it_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    show_table(table(), Console(soft_wrap=True))
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_lines_of_progress_have_a_rate_what_is_left_and_the_windows_of_a_large_picture(
    monkeypatch, capsys
):
    now = iter([0.0, 0.0, 20.0, 40.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(now))
    with listening("predicting", quiet=False) as report:
        report(Progress(0, 10, "pictures"))
        report(Progress(2, 10, "pictures"))
        report(Progress(30, 60, WINDOWS))
    first, second = capsys.readouterr().err.splitlines()
    assert first == "predicting: 2 of 10, 6.0/min, 1m20s left"
    assert second.startswith("predicting: 2 of 10, window 30 of 60") and second.endswith(" left")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "x", "--steps", "9"], ["nothing of it was written", "psp train x --steps 9"]),
        (["predict", "my photos", "--overwrite"], ["finished pictures", "psp predict 'my photos'"]),
        (["prepare", "camvid", "raw"], ["kept", "psp prepare camvid raw"]),
        (["evaluate", "run"], ["no result was stored", "psp evaluate run"]),
        (["export", "run", "a.onnx"], ["nothing", "psp export run a.onnx"]),
    ],
)
def test_an_interrupted_command_says_what_is_safe_and_how_it_goes_on(arguments, words):
    text = interrupted(arguments)
    assert text.startswith("interrupted: ") and all(word in text for word in words)
    assert "--overwrite" not in text


def test_ctrl_c_in_any_command_ends_with_that_line(psp, monkeypatch, tmp_path):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("psp.doctor.examine", stop)
    code, _, err = psp("doctor")
    assert code == 130 and "interrupted: " in err and "psp doctor" in err


def test_a_large_picture_reports_its_windows(psp, journey, tmp_path, monkeypatch):
    from helpers.photos import save

    save(tmp_path / "large.jpg", (300, 200))
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", -1)
    run = journey.folder / "run"
    err = psp("predict", "large.jpg", "-m", run, "-o", "out", check=0)[2]
    lines = [line for line in err.splitlines() if ", window " in line]
    assert len(lines) > 10 and lines[0].startswith("predicting: 0 of 1, window ")
    assert "large" not in psp("predict", "large.jpg", "-m", run, "-o", "new", "-q", check=0)[2]
    found = json.loads(psp("predict", "large.jpg", "-m", run, "-o", "out", "--json")[1])
    assert found["counts"] == {"predicted": 0, "skipped": 1, "failed": 0}


@pytest.mark.parametrize("first", [True, False], ids=["with a checkpoint", "without"])
def test_a_training_that_is_stopped_at_once_says_which_checkpoint_there_is(
    psp, tmp_path, monkeypatch, first
):
    """A second Ctrl-C in the middle of a step, after the run has begun."""
    shards = make_shards(tmp_path / "shards")
    make_run(tmp_path / "run", {"steps": 9}, data=str(shards))
    if first:
        (tmp_path / "run/checkpoints").mkdir()
        (tmp_path / "run/checkpoints/00000003.pt").touch()

    def stop(*arguments, **options):
        raise KeyboardInterrupt(15)

    monkeypatch.setattr("psp.train.loop.train", stop)
    code, _, err = psp("train", shards, "-o", "run", "--resume")
    assert code == 128 + 15 and "Traceback" not in err
    assert ("step 3 is whole" if first else "no checkpoint yet") in err and "-o run --resume" in err

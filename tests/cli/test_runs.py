"""psp runs: a line for each run, whatever is in its folder."""

import json
import os

from helpers.runs import make_run, train_to, weights_of

from psp.locks import file_lock


def states(psp, *arguments):
    return {run["folder"]: run for run in json.loads(psp("runs", *arguments, "--json", check=0)[1])}


def test_a_run_is_finished_stopped_or_running(psp, tmp_path):
    settings = {"steps": 200, "backbone": "resnet18"}
    done = train_to(make_run(tmp_path / "runs/done", settings, data="/x/data/town"), 200, miou=0.5)
    train_to(done, 200, miou=0.25)
    half = train_to(make_run(tmp_path / "runs/half", settings), 100)
    half.checkpoints.mkdir()
    (half.checkpoints / "00000120.pt").write_bytes(b"")
    new = make_run(tmp_path / "runs/new", settings)
    with file_lock(new.lock, new.folder):
        found = states(psp)
        assert states(psp) == found  # asking leaves the lock as it is
    assert {name: (run["state"], run["step"]) for name, run in found.items()} == {
        "runs/done": ("finished", 200),
        "runs/half": ("stopped", 120),
        "runs/new": ("running", 0),
    }
    first = found["runs/done"]
    assert (first["data"], first["backbone"], first["best"]) == ("town", "resnet18", 0.5)
    assert first["size"] == sum(path.stat().st_size for path in done.folder.iterdir())
    assert found["runs/new"]["best"] is None
    assert states(psp)["runs/new"]["state"] == "stopped"
    assert list(states(psp, "runs/done")) == ["runs/done"]


def test_the_last_changed_is_first_and_the_table_has_all(psp, tmp_path):
    for age, name in enumerate(("old", "new")):
        run = train_to(make_run(tmp_path / "runs" / name, {"steps": 9}), 9)
        for path in run.folder.iterdir():
            os.utime(path, (1e9 + age, 1e9 + age))
    (tmp_path / "runs/old/report.html").touch()  # evaluating changes nothing of the training
    lines = psp("runs", check=0)[1].splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["runs/new", "runs/old"]
    for text in ("shards", "resnet50", "9 of 9", "50.00", "d ", "finished"):
        assert text in lines[1]


def test_a_broken_run_is_a_line_and_no_end(psp, tmp_path):
    runs = tmp_path / "runs"
    train_to(make_run(runs / "good", {"steps": 9}), 9)
    make_run(runs / "text").config.write_text("{")
    make_run(runs / "deep").config.write_text("[" * 100_000)
    make_run(runs / "key", {"sharpness": 3})
    make_run(runs / "low", {"steps": -1})
    make_run(runs / "cut").weights("last").write_bytes(weights_of(3)[:20])
    make_run(runs / "large").weights("last").write_bytes(b"\xff" * 100)
    os.truncate(make_run(runs / "huge").config, 1 << 33)
    pipe = make_run(runs / "pipe")
    pipe.config.unlink()
    os.mkfifo(pipe.config)
    (runs / "bare/checkpoints").mkdir(parents=True)
    (runs / "dangling").symlink_to("nowhere")
    (runs / "loop").symlink_to("loop")
    (runs / "notes").mkdir()
    (runs / "notes.txt").write_text("mine")
    found = states(psp)
    broken = {"text", "deep", "key", "low", "cut", "large", "huge", "pipe", "bare"}
    assert found.keys() == {f"runs/{name}" for name in {*broken, "good"}}
    for name in broken:
        assert found[f"runs/{name}"]["state"] == "broken", name
        assert f"runs/{name}" in found[f"runs/{name}"]["problem"]
    _, out, err = psp("runs", check=0)
    assert out.count("broken") == err.count("broken: ") == len(broken) and "finished" in out


def test_odd_records_do_not_break_a_run(psp, tmp_path):
    run = train_to(make_run(tmp_path / "runs/odd", {"steps": 90}), 9)
    lines = ['{"event": "validation", "step": "x", "miou": NaN}', "[]", "null", "{", "\xff"]
    with run.metrics.open("a", encoding="latin-1") as file:
        file.write("\n".join(lines))
    found = states(psp)["runs/odd"]
    assert (found["state"], found["step"], found["best"]) == ("stopped", 9, 0.5)


def test_names_do_not_steer_the_terminal(psp, tmp_path):
    make_run(tmp_path / os.fsdecode(b"runs/\x1b[31mred\xff"), data="/x/\x1b]0;mine\x07[bold]")
    _, out, err = psp("runs", check=0)
    assert "\x1b" not in out + err and "\\x1b[31mred\\udcff" in out and "[bold]" in out


def test_without_runs_it_says_how_to_get_one(psp, tmp_path):
    code, out, err = psp("runs", check=0)
    assert out == "" and "psp train" in err
    assert psp("runs", "--json", check=0)[1] == "[]\n"
    code, _, err = psp("runs", "nowhere")
    assert code == 2 and "nowhere" in err

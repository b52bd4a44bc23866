"""A folder of results: finished pictures are skipped, and settings are never mixed in it."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.photos import EXPECTED, records, save, tree
from PIL import Image


def test_the_records_are_the_label_maps_shares(journey, psp, photos):
    (photos / "broken.png").write_bytes(b"\x89PNG")
    psp("predict", photos, "-m", journey.folder / "run", "-o", "out", check=3)
    out = photos.parent / "out"
    found = records(out)
    assert list(found) == sorted([*EXPECTED, "broken"])
    assert "broken.png: " in found.pop("broken")["error"]
    classes = json.loads((out / "settings.json").read_text())["classes"]
    for name, record in found.items():
        label = np.array(Image.open(out / f"labels/{name}.png"))
        assert (record["height"], record["width"]) == label.shape
        for number, title in enumerate(classes):
            share = (label == number).mean()
            assert record["shares"].get(title, 0) == pytest.approx(share, abs=1e-6)
            assert (title in record["shares"]) == (share > 0)
        assert record["seconds"] > 0


def test_a_second_call_does_nothing_and_says_so(journey, psp, photos, monkeypatch):
    arguments = ("predict", photos, "-m", journey.folder / "run")
    _, first, _ = psp(*arguments, check=0)
    out = photos.with_name("photos-predicted")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*g")}
    monkeypatch.setattr("psp.predict.pipeline.load_sliding_window", None)  # nothing needs it
    _, second, err = psp(*arguments, check=0)
    assert first == second
    assert "8 pictures" in err and "skipped" in err and "0 pictures predicted" in err
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_is_not_finished_is_done_again(journey, psp, photos, tmp_path):
    """A new picture, a changed one, one whose map is gone, one whose map is empty, one that failed,
    a missing legend."""
    (photos / "bad.jpg").write_bytes(b"")
    arguments = ("predict", photos, "-m", journey.folder / "run", "-o", "out", "--json")
    psp(*arguments, check=3)
    out = tmp_path / "out"
    save(photos / "new.jpg")
    save(photos / "bad.jpg", (30, 20))
    save(photos / "gray.png", (20, 10))
    (out / "labels/sub/a.png").unlink()
    (out / "labels/alpha.png").write_bytes(b"")
    (out / "legend.png").unlink()
    found = json.loads(psp(*arguments, check=0)[1])
    assert sorted(found["predicted"]) == ["alpha", "bad", "gray", "new", "sub/a"]
    assert len(found["skipped"]) == 5
    assert Image.open(out / "labels/gray.png").size == (20, 10)
    assert Image.open(out / "legend.png").size[0] > 100
    assert list(records(out)) == sorted([*EXPECTED, "bad", "new"])
    assert not any("error" in record for record in records(out).values())


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (["--crop", "89"], "crop 41, now 89"),
        (["--flip"], "flip False, now True"),
        (["--scales", "1,1.5"], "scales 1.0, now 1.0,1.5"),
        (["--precision", "bf16"], "precision fp32, now bf16"),
        (["--procedure", "caffe"], "procedure torch, now caffe"),
        (["--weights", "last"], "(weights)"),
    ],
)
def test_other_settings_never_mix_in_a_folder(journey, psp, photos, tmp_path, other, reason):
    run = tmp_path / "run"
    shutil.copytree(journey.folder / "run", run)
    last = run / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-1] + b"\x01")  # other weights
    arguments = ("predict", photos / "a.jpg", photos / "gray.png", "-m", run)
    psp(*arguments, "-o", "out", "--precision", "fp32", check=0)
    other = other if "--precision" in other else [*other, "--precision", "fp32"]
    before = tree(tmp_path / "out")
    code, out, err = psp(*arguments, "-o", "out", *other)
    assert (code, out) == (2, "") and reason in err and len(err.splitlines()) == 1
    assert tree(tmp_path / "out") == before
    psp(*arguments, "-o", "out", *other, "--overwrite", check=0)
    psp(*arguments, "-o", "fresh", *other, check=0)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_default_folder_goes_on_or_gets_a_number_and_an_explicit_one_is_refused(
    journey, psp, photos, tmp_path
):
    run, one = journey.folder / "run", photos / "a.jpg"

    def out(*more):
        return Path(psp("predict", one, "-m", run, *more, check=0)[1].strip()).name

    assert [out(), out(), out("--flip"), out("--flip"), out()] == [
        "a-predicted",
        "a-predicted",
        "a-predicted-2",
        "a-predicted-2",
        "a-predicted",
    ]
    (tmp_path / "mine").mkdir()
    psp("predict", one, "-m", run, "-o", "mine", check=0)  # an empty folder is as good as none
    (tmp_path / "other").mkdir()
    (tmp_path / "other/letter.txt").write_text("dear")
    code, _, err = psp("predict", one, "-m", run, "-o", "other")
    assert code == 2 and "other: " in err and "another -o" in err and "--overwrite" in err
    code, _, err = psp("predict", one, "-m", run, "-o", "other/letter.txt")
    assert code == 2 and "other/letter.txt: " in err and "folder" in err
    psp("predict", one, "-m", run, "-o", "other", "--overwrite", check=0)
    assert (tmp_path / "other/letter.txt").read_text() == "dear"


def test_a_name_is_never_given_to_another_picture(journey, psp, photos, tmp_path):
    run = journey.folder / "run"
    psp("predict", photos / "a.jpg", "-m", run, "-o", "out", check=0)
    before = tree(tmp_path / "out")
    code, _, err = psp("predict", photos / "sub/a.jpg", "-m", run, "-o", "out")
    assert code == 2 and "out: 'a'" in err and "sub/a.jpg" in err and "--overwrite" in err
    assert tree(tmp_path / "out") == before
    photos.rename(tmp_path / "moved")  # the same file, elsewhere: it is finished
    _, out, _ = psp("predict", "moved/a.jpg", "-m", run, "-o", "out", "--json", check=0)
    assert json.loads(out)["skipped"] == ["a"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_is_stopped_leaves_whole_files_and_goes_on(journey, psp, tmp_path, number):
    for index in range(40):
        save(tmp_path / f"many/{index:03d}.jpg", (64, 48))
    process = subprocess.Popen(
        [sys.executable, "-m", "psp", "predict", "many", "-m", str(journey.folder / "run")],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A shell in the background may have the tests ignore Ctrl-C, which is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    out = tmp_path / "many-predicted"
    while len(list(out.glob("labels/*.png"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, number)
    err = process.stderr.read()
    assert process.wait() == (130 if number == signal.SIGINT else -9)
    done = list(out.glob("labels/*.png"))
    assert 3 <= len(done) < 40
    for path in done:
        assert Image.open(path).size == (64, 48) and np.array(Image.open(path)).max() < 9
    if number == signal.SIGINT:
        assert "Traceback" not in err and "same command" in err
        assert not list(out.rglob("*.tmp"))
    with (out / "predictions.jsonl").open("ab") as file:
        file.write(b'{"name": "039", "sou')  # as a kill in the middle of a line leaves it
    (out / "legend.png").unlink()
    _, text, _ = psp("predict", "many", "-m", journey.folder / "run", "--json")
    found = json.loads(text)
    assert len(found["skipped"]) + len(found["predicted"]) == 40
    assert len(done) - 6 <= len(found["skipped"]) <= len(done)  # some were whole but unrecorded
    assert len(records(out)) == len(list(out.glob("labels/*.png"))) == 40
    assert (out / "legend.png").exists() and not list(out.rglob("*.tmp"))


def test_two_at_once_on_the_same_share_are_refused(journey, psp, photos):
    arguments = ("predict", photos, "-m", journey.folder / "run", "-o", "out")
    psp(*arguments, check=0)
    save(photos / "new.jpg")
    with (photos.parent / "out/predictions.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, _, err = psp(*arguments)
    assert code == 2 and "out: another psp predict" in err and "--part" in err
    psp(*arguments, check=0)

"""The command line: helpful, one line for a user's error, quiet when asked."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from helpers.trees import run_psp

from psp.cli.console import progress
from psp.data.cardfile import shipped

COMMANDS = [
    "prepare",
    "train",
    "evaluate",
    "predict",
    "demo",
    "cards",
    "verify",
    "inspect",
    "recipe",
    "import",
    "export",
    "models",
    "runs",
    "doctor",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(psp, command):
    _, out, _ = psp(command, "--help", check=0)
    usage, text = out.split("\n\n" if "\n\n" in out else "\n \n", 1)[0], re.sub(r"\s+", " ", out)
    assert "Usage" in usage
    examples = re.findall(rf"psp {command}(?: [a-z/.][\w/.-]*|(?= ╭))", text)
    assert examples, text


def test_version(psp):
    from psp import __version__

    for option in ("-V", "--version"):
        assert psp(option, check=0)[1] == f"psp {__version__}\n"


def test_cards_lists_and_shows_and_speaks_json(psp, journey):
    _, out, _ = psp("cards", check=0)
    assert all(name in out for name in shipped())
    _, out, _ = psp("cards", "show", "voc2012", check=0)
    assert "tvmonitor" in out and "#c08080" in out and "1,464" in out and "crop=473" in out
    assert psp("cards", "voc2012", check=0)[1] == out
    shards, file = (
        psp("cards", journey.folder / name, "--json", check=0)[1]
        for name in ("shards", "tiny.toml")
    )
    assert json.loads(shards)["classes"] == json.loads(file)["classes"]
    _, out, _ = psp("cards", "show", "camvid", "--json", check=0)
    assert json.loads(out)["name"] == "camvid"
    assert {card["name"] for card in json.loads(psp("cards", "--json", check=0)[1])} == set(
        shipped()
    )


@pytest.mark.parametrize(
    ("arguments", "subject", "remedy"),
    [
        (["prepare", "camvit", "."], "camvit", "'camvid'"),
        (["prepare", "camvid", "nowhere"], "nowhere", "no such folder"),
        (["prepare", "voc2012", "."], "PASCAL VOC 2012", "VOCdevkit"),
        (["prepare", "mine.toml", "."], "mine.toml", "no such file"),
        (["cards", "show", "scnes"], "scnes", "'scenes'"),
        (["cards", "scnes"], "scnes", "'scenes'"),
        (["models", "ade20k"], "'ade20k'", "psp models"),
        (["inspect", "nowhere"], "nowhere", "psp prepare"),
        (["train", "nowhere"], "nowhere", "psp prepare"),
        (["train", "."], ".: ", "shards"),
        (["predict", "nowhere"], "nowhere", "no such file or folder"),
        (["evaluate", "ade20k-r50-csail"], "ade20k-r50-csail", "--data"),
        (["prepare", "camvid", ".", "--reencode", "png"], "--reencode png", "jpeg:95"),
        (["prepare", "camvid", ".", "--store", "zip"], "--store zip", "encoded, raw"),
    ],
)
def test_an_error_is_one_line_and_exit_2(psp, tmp_path, arguments, subject, remedy):
    code, out, err = psp(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and subject in err and remedy in err
    assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "subject", "remedy"),
    [
        (["--set", "stpes=5"], "'stpes'", "'steps'"),
        (["--set", "steps"], "--set steps", "key=value"),
        (["--steps", "5", "--set", "steps=6"], "'steps'", "twice"),
        (["--recipe", "papre"], "'papre'", "tiny"),
        (["--crop", "100"], "100", "89 or 137"),
        (["--device", "cuda:9"], "--device cuda:9", ""),
        (["--gpus", "2", "--device", "cpu"], "--gpus 2", "--device"),
        (["--resume", "-o", "nowhere"], "nowhere", ""),
        (["--resume"], "runs/tiny-resnet18", ""),
        (["-o", "run"], "run: ", "--resume"),
    ],
)
def test_errors_of_training(journey, psp, arguments, subject, remedy):
    before = sorted(journey.folder.iterdir())
    code, out, err = psp("train", "shards", *arguments, cwd=journey.folder)
    assert (code, out) == (2, "")
    assert subject in err and remedy in err and len(err.strip().splitlines()) == 1
    assert sorted(journey.folder.iterdir()) == before


@pytest.mark.slow
def test_debug_shows_the_traceback(tmp_path):
    for arguments in (["--debug", "train", "nowhere"], ["train", "nowhere", "--debug"]):
        code, _, err = run_psp(*arguments, cwd=tmp_path)
        assert code == 1 and "Traceback" in err and "nowhere" in err and "psp prepare" in err


def test_the_journey_says_where_it_went_and_what_comes_next(journey):
    _, out, err = journey.says["prepare"]
    assert re.search(r"train\s+12", out) and "next: psp train shards" in err
    _, out, err = journey.says["train"]
    assert "random initial weights" in err and "next: psp evaluate run" in err
    assert "step 2: loss" in err and "mIoU" in err
    _, out, err = journey.says["predict"]
    assert out.strip() == "predicted"


def test_quiet_means_quiet(journey, psp):
    _, out, err = psp("predict", "raw/images/val", "-m", "run", "-q", cwd=journey.folder, check=0)
    assert err == "" and (journey.folder / out.strip() / "predictions.jsonl").is_file()


def test_prepare_again_has_nothing_to_do(journey, psp):
    _, _, err = psp("prepare", "tiny.toml", "raw", "-o", "shards", cwd=journey.folder, check=0)
    assert "shards: " in err and "--overwrite" in err


def test_a_default_folder_with_other_input_gets_a_number(psp, camvid_raw, tmp_path):
    psp("prepare", "camvid", camvid_raw, "--allow-incomplete", "-q", check=0)
    (camvid_raw / "test" / "0001TP_test000.png").unlink()
    _, _, err = psp("prepare", "camvid", camvid_raw, "--allow-incomplete", check=0)
    assert "data/camvid: " in err and "psp train data/camvid-2" in err
    _, _, err = psp("prepare", "camvid", camvid_raw, "--allow-incomplete", check=0)
    assert "data/camvid-2: " in err and "--overwrite" in err
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"camvid", "camvid-2"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_ends_training_with_a_checkpoint_and_the_command_to_go_on(
    journey, tmp_path, number
):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "psp",
            "train",
            str(journey.folder / "shards"),
            "-o",
            "run",
            "--steps",
            "5000",
            "--set",
            "log_every=1",
            "--workers",
            "1",
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # The suite itself may run under nohup, which ignores SIGHUP for all it starts.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    for line in process.stderr:
        if line.startswith("step 2"):
            break
    os.killpg(process.pid, number)  # as a terminal does: the loading processes get it too
    begin = time.monotonic()
    rest = process.stderr.read()
    assert process.wait() == 128 + number
    assert time.monotonic() - begin < 30
    assert "--resume" in rest and "Traceback" not in rest
    assert list((tmp_path / "run/checkpoints").glob("*.pt"))


def test_the_demo_draws_a_sheet_from_what_the_commands_made(journey, tmp_path):
    import numpy as np
    from PIL import Image

    from psp.demo import Demo

    demo = Demo(tmp_path)
    for made, path in (("raw", demo.raw), ("predicted", demo.predicted)):
        path.symlink_to(journey.folder / made)
    demo.draw_sheet()
    picture = np.array(Image.open(demo.sheet))
    assert picture.shape[0] > 4 * 170 and picture.std() > 20
    assert [command[0] for command in demo.commands()] == COMMANDS[:4]
    assert demo.scenes == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("quiet", [True, False])
def test_an_interrupt_that_python_drops_is_raised_at_the_next_progress(quiet):
    class Resource:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)  # whose exception Python prints and drops

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), progress("working", quiet) as advance:
        advance(1, 3)
        Resource()  # collected here: nothing is raised
        reached = True
        advance(2, 3)
    assert reached
    assert signal.getsignal(signal.SIGINT) is before


def test_progress_leaves_an_ignored_interrupt_ignored():
    """As a shell sets it for a command in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with progress("working", quiet=True) as advance:
            signal.raise_signal(signal.SIGINT)
            advance(1, 1)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_progress_works_in_other_threads():
    counts = []

    def work():
        with progress("working", quiet=True) as advance:
            advance(1, 1)
            counts.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert counts == [1]

"""Options and commands of other programs are answered with psp's own, in one line."""

import re

import pytest
from helpers.runs import make_run, train_to
from helpers.shards import make_shards
from typer.main import get_command

from psp.cli import app
from psp.cli.words.commands import MEANT, USE
from psp.cli.words.table import ANY, ROWS, WORDS
from psp.errors import PspError
from psp.ranks import device_name
from psp.settings.config import SETTINGS

COMMANDS = get_command(app).commands
OPTIONS = {
    name: {word for param in command.params for word in (*param.opts, *param.secondary_opts)}
    for name, command in COMMANDS.items()
}


@pytest.mark.parametrize(
    ("arguments", "answers"),
    [
        (["train", "town", "--epochs", "12"], ["--steps 960", "640", "batch 8"]),  # scenes' recipe
        (["train", "town", "--epochs=12", "--batch", "16"], ["--steps 480"]),
        (["train", "--data", "town", "--epochs", "12", "--batch-size=16"], ["--steps 480", "town"]),
        (["train", "data=town", "epochs=12", "imgsz=640"], ["--steps 960", "--crop 617"]),
        (["train", "town", "--set", "epochs=12"], ["--steps 960"]),
        (["train", "town", "-epochs", "12"], ["--steps 960"]),
        (["train", "nowhere", "--epochs", "12"], ["--steps N"]),
        (["train", "town", "--imgsz", "473"], ["--crop 473"]),
        (["train", "town", "--project", "x", "--name", "y"], ["-o x", "-o runs/y"]),
        (["train", "town", "--work-dir", "x y"], ["-o 'x y'"]),
        (["train", "town", "--lr0", "0.1"], ["--lr 0.1"]),
        (["train", "town", "--learning_rate", "0.1"], ["--lr 0.1"]),
        (["train", "town", "--config", "a.py"], ["--recipe", "--set"]),
        (["train", "town", "--resume-from", "a.pth"], ["--resume"]),
        (["train", "town", "--load-from", "a.pth"], ["--init a.pth"]),
        (["train", "town", "--num-classes", "9"], ["psp inspect"]),
        (["train", "town", "--weight-decay", "0"], ["--set weight_decay=0"]),
        (["train", "town", "--stpes", "5"], ["'--steps'"]),
        (["train", "town", "--worst", "3"], ["psp evaluate"]),
        (["train", "town", "--backbone", "resnet-50"], ["'resnet50'"]),
        (["train", "town", "--device", "0,1"], ["--gpus 2"]),
        (["predict", "--source", "photos", "--weights", "a.pt"], ["predict photos", "-m a.pt"]),
        (["predict", "photos", "--weights", "town-resnet18"], ["-m town-resnet18"]),
        (["predict", "photos", "--model-path", "a.pt"], ["-m a.pt"]),
        (["predict", "photos", "model=a.pt"], ["-m a.pt"]),
        (["predict", "photos", "--save-dir", "x"], ["-o x"]),
        (["predict", "photos", "--output", "x"], ["-o x"]),
        (["predict", "photos", "--conf", "0.5"], ["--probabilities"]),
        (["predict", "photos", "--imgsz", "640"], ["--base-size"]),
        (["evaluate", "--weights", "a.safetensors", "town-resnet18"], ["evaluate a.safetensors"]),
        (["evaluate", "--checkpoint", "a.safetensors"], ["evaluate a.safetensors"]),
        (["export", "--weights", "a.pt", "--format", "onnx"], ["export a.pt", "OUT.onnx"]),
        (["prepare", "--data-root", "x"], ["CARD x"]),
        (["val"], ["psp evaluate"]),
        (["test", "--x"], ["psp evaluate"]),
        (["detect"], ["psp predict"]),
        (["segment"], ["psp predict"]),
        (["infer"], ["psp predict"]),
        (["convert"], ["psp prepare", "psp import"]),
        (["list"], ["psp runs", "psp models"]),
        (["lst"], ["psp runs"]),
        (["predcit"], ["'predict'"]),
        (["./photos"], ["psp predict photos", "psp inspect"][1:]),
    ],
)
def test_a_word_of_another_program_gets_psps_own(psp, tmp_path, arguments, answers):
    make_shards(tmp_path / "data/town", images=640)
    train_to(make_run(tmp_path / "runs/town-resnet18"), 9)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"")
    code, out, err = psp(*arguments)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1 and err.startswith("error: ")
    assert [answer for answer in answers if answer not in err] == [], err


def test_what_the_answers_name_is_there():
    texts = [text for row in ROWS for text in row.answers.values()]
    for text in [*texts, *USE.values()]:
        assert set(re.findall(r"psp ([a-z]+)\b", text)) <= {*COMMANDS, "counts", *VERBS}, text
        for name in re.findall(r"--set ([a-z_]+)=", text):
            assert name in SETTINGS, text
    for row in ROWS:
        for command, text in row.answers.items():
            own = re.sub(r"torchrun.*|psp (train|predict|inspect) .*", "", text)
            named = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", own))
            possible = OPTIONS[command] if command != ANY else set().union(*OPTIONS.values())
            assert named <= possible, text
    assert set(MEANT).isdisjoint(COMMANDS)


VERBS = {"labels", "trains", "chooses", "has", "writes", "does", "lists", "scores"}


def test_each_word_stands_in_one_row_and_gets_an_answer():
    words = [word for row in ROWS for word in row.words.split()]
    assert len(words) == len(set(words)) == len(WORDS)
    assert set().union(*(row.answers for row in ROWS)) <= {*COMMANDS, ANY}


def test_a_number_is_a_cuda_device():
    for text, name in {
        "0": "cuda:0",
        "3": "cuda:3",
        "GPU": "cuda",
        "gpu:1": "cuda:1",
        "CPU": "cpu",
        "cuda:0": "cuda:0",
        "auto": "auto",
        "cuba": "cuba",
    }.items():
        assert device_name(text) == name
    for text in ("0,1", "cuda:0,1", "cuda:0,cuda:1", "0 1"):
        with pytest.raises(PspError, match="--gpus 2"):
            device_name(text)

"""The folder of a run: what its config.json says, and which run a command means."""

import os

import pytest
from helpers.runs import make_run

from psp.errors import PspError
from psp.runs import model_at, newest_named, run_of_launch, sibling_runs
from psp.settings.config import TrainConfig


def test_settings_come_back_as_they_were(tmp_path):
    config = TrainConfig().changed(lr=0.5, bins=(1, 2), crop=89)
    assert make_run(tmp_path / "run", config.flat()).training_config() == config


def test_a_setting_of_a_newer_psp_is_named_with_the_file(tmp_path):
    run = make_run(tmp_path / "run", {"lr": 0.5, "sharpness": 3})
    with pytest.raises(PspError) as error:
        run.training_config()
    text = str(error.value)
    assert str(run.config) in text and "'sharpness'" in text and "newer psp" in text
    assert "damaged" not in text


@pytest.mark.parametrize(
    ("content", "subject"), [("{", "damaged"), ("[]", "an object"), ('{"settings": {}}', "'data'")]
)
def test_a_damaged_config_is_named(tmp_path, content, subject):
    run = make_run(tmp_path / "run")
    run.config.write_text(content)
    with pytest.raises(PspError) as error:
        run.read_config()
    assert str(error.value).startswith(f"{run.config}: damaged") and subject in str(error.value)


def test_a_run_without_weights_says_how_to_get_them(tmp_path):
    run = make_run(tmp_path / "run")
    with pytest.raises(PspError) as error:
        model_at(run.folder)
    assert "best.safetensors: " in str(error.value) and "--resume" in str(error.value)
    run.checkpoints.mkdir()
    (run.checkpoints / "00000002.pt").write_bytes(b"")
    with pytest.raises(PspError) as error:
        model_at(run.folder, "last")
    text = str(error.value)
    assert "last.safetensors: " in text
    assert f"psp train shards -o {run.folder} --resume" in text
    run.weights("last").write_bytes(b"")
    assert model_at(run.folder, "last").path == run.weights("last")
    with pytest.raises(PspError) as error:
        model_at(run.weights("last"), "best")
    assert "--weights best" in str(error.value)


def test_a_run_is_found_by_its_name_or_its_launch(tmp_path):
    runs = [make_run(tmp_path / name, launch=name) for name in ("a", "a-2", "a-b", "b")]
    for age, run in enumerate(runs):
        os.utime(run.config, (age, age))
    assert newest_named(tmp_path / "a") == tmp_path / "a-2"
    assert run_of_launch(tmp_path / "a", "a") == runs[0]
    assert run_of_launch(tmp_path / "a", "b") is None  # begun by it, but another name
    assert run_of_launch(tmp_path / "a", None) is None
    assert sibling_runs(tmp_path / "c") == ["a", "a-2", "a-b", "b"]
    with pytest.raises(PspError) as error:
        newest_named(tmp_path / "c")
    assert str(tmp_path / "c") in str(error.value) and "--resume" in str(error.value)

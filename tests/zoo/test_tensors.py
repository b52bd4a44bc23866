"""Weights in other programs' containers are found; nothing in a file is executed."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from psp.errors import PspError
from psp.model.weights import read_header
from psp.zoo.tensors import read_checkpoint, read_tensors

STATE = {"conv.weight": torch.arange(6.0).view(2, 3), "bn.steps": torch.tensor(3)}


def saved(path, value):
    torch.save(value, path)
    return path


def same(tensors):
    return tensors.keys() == STATE.keys() and all(torch.equal(tensors[n], STATE[n]) for n in STATE)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model_state_dict": state, "optimizer_state_dict": {"lr": 0.1}},
        lambda state: {"net": state},
        lambda state: {"epoch": 1, "model": {"state_dict": state, "version": 2}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"model.{name}": t for name, t in state.items()}},
        lambda state: {"network": {f"module.net.{name}": t for name, t in state.items()}},
    ],
)
def test_harmless_containers_and_prefixes_are_taken_off(tmp_path, wrap):
    assert same(read_tensors(saved(tmp_path / "w.pth", wrap(STATE))))


def test_plain_data_beside_the_weights_are_read(tmp_path):
    extras = {
        "best": np.float64(0.71),
        "epoch": np.int64(90),
        "half": np.float16(2),
        "flag": np.bool_(1),
        "curve": np.arange(4.0),
        "name": np.str_("x"),
        "options": argparse.Namespace(lr=0.1, out=Path("runs")),
    }
    tensors, found = read_checkpoint(saved(tmp_path / "w.pth", {"state_dict": STATE, **extras}))
    assert same(tensors)
    assert found["best"] == 0.71 and found["epoch"] == 90 and found["name"] == "x"
    assert np.array_equal(found["curve"], np.arange(4.0))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    "value",
    [Evil(), {"state_dict": STATE, "x": Evil()}, {"state_dict": STATE, "x": np.array([Evil()])}],
)
def test_what_would_run_is_refused_and_does_not(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PspError) as error:
        read_tensors(saved(tmp_path / "w.pth", value))
    assert "w.pth" in str(error.value) and "run code" in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_a_file_without_weights_names_its_keys(tmp_path):
    path = saved(tmp_path / "w.pth", {"epoch": 3, "optimizer": {"lr": 0.1}})
    with pytest.raises(PspError) as error:
        read_tensors(path)
    assert all(word in str(error.value) for word in ("w.pth", "epoch", "optimizer", "torch.save"))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    ("start", "word"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 5\n", "git lfs"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "web page"),
        (b"\n<html lang='en'>404</html>", "web page"),
    ],
)
def test_what_stands_in_place_of_weights_is_called_that(tmp_path, name, start, word):
    path = tmp_path / name
    path.write_bytes(start)
    for read in (read_tensors, read_header):
        with pytest.raises(PspError) as error:
            read(path)
        assert name in str(error.value) and word in str(error.value)

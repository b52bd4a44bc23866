"""Weights in other programs' containers are found; nothing in a file is executed."""

import argparse
import collections
import datetime
import io
import os
import pickle
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from psp.errors import PspError
from psp.model.weights import read_header
from psp.zoo.find import find_model
from psp.zoo.tensors import other_states, read_checkpoint, read_tensors

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
        lambda state: {"model_ema": state, "decay": 0.9},
        lambda state: {"my_weights": state, "options": {"lr": 0.1}},
        lambda state: {"module": state, "ema": state},  # the first counts
        lambda state: {name: tensor.numpy() for name, tensor in state.items()},
        lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"segmentor.{n}": t for n, t in state.items()}},
        lambda state: {
            "state_dict": {
                "criterion.weight": torch.ones(3),
                **{f"net.{name}": tensor for name, tensor in state.items()},
            },
            "callbacks": {},
        },
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
        "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "times": collections.defaultdict(list, a=[1]),
        "counts": collections.Counter("aab"),
        "last": collections.deque([1, 2]),
        "some": types.SimpleNamespace(x={1, 2}),
    }
    tensors, found = read_checkpoint(saved(tmp_path / "w.pth", {"state_dict": STATE, **extras}))
    assert same(tensors)
    assert found["best"] == 0.71 and found["epoch"] == 90 and found["name"] == "x"
    assert found["times"] == {"a": [1]} and found["last"] == [1, 2]
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


def test_several_dictionaries_of_weights_are_named(tmp_path):
    path = saved(tmp_path / "w.pth", {"student": STATE, "teacher": STATE, "epoch": 1})
    with pytest.raises(PspError, match=r"w\.pth.*several.*student, teacher"):
        read_tensors(path)
    extras = read_checkpoint(saved(path, {"model": STATE, "ema": STATE, "epoch": 1}))[1]
    assert other_states(extras) == ["ema"]


def archive(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return buffer.getvalue()


def of_torch(**how):
    buffer = io.BytesIO()
    torch.save(STATE, buffer, **how)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
        (archive("config.json", "model.weights.h5"), "Keras"),
        (archive("net.pth"), "Unpack"),
        (archive("a.npy", "b.npy"), "numpy"),
        (archive("s/data.pkl", "s/code/x.py"), "TorchScript"),
        (of_torch()[:900], "cut off"),
        (b"\x1f\x8b\x08" + bytes(50), "gzip"),
        (b"\x08\x07\x12\x07pytorch" + bytes(50), "ONNX"),
        (b"\x1c\0\0\0TFL3" + bytes(50), "TensorFlow"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "picture"),
        (b"Quota exceeded\n", "server"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "server"),
        (b'{"error": "not found"}', "server"),
        (pickle.dumps({"a": [1]}), "pickle"),
        (save({"a": torch.ones(9)})[:-4], "cut off"),
    ],
)
def test_files_of_other_kinds_are_called_what_they_are(tmp_path, data, word):
    for name in ("w.pth", "w.safetensors"):
        path = tmp_path / name
        path.write_bytes(data)
        for read in (read_tensors, read_header):
            with pytest.raises(PspError) as error:
                read(path)
            assert name in str(error.value) and word in str(error.value), error.value


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}])
def test_weights_of_torch_are_to_be_imported(tmp_path, how):
    (tmp_path / "w.ckpt").write_bytes(of_torch(**how))
    with pytest.raises(PspError, match=r"w\.ckpt.*psp import"):
        read_header(tmp_path / "w.ckpt")
    assert same(read_tensors(tmp_path / "w.ckpt"))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["saved_model.pb"], ["TensorFlow"]),
        (["model.ckpt.index", "checkpoint"], ["TensorFlow"]),
        (["config.json", "model.safetensors"], ["folder", "model.safetensors"]),
        (["a.pth", "b.txt"], ["folder", "a.pth"]),
        ([], ["config.json"]),
    ],
)
def test_a_folder_says_what_is_in_it(tmp_path, names, words):
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(PspError) as error:
        find_model(tmp_path)
    assert all(word in str(error.value) for word in (str(tmp_path), *words)), error.value

"""Weights of strangers: every value of the header is checked before anything is made of it."""

import json

import pytest
import torch
from helpers.errors import error_naming
from helpers.poison import poisoned
from safetensors.torch import save_file

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.pspnet import build
from psp.model.summary import summarize
from psp.model.weights import Header, load_network, read_header, save_weights

SPEC = Architecture(classes=2, backbone="resnet18", bins=(1, 2), stem="deep")
HEADER = Header(
    architecture=SPEC,
    classes=("a", "b"),
    palette=((0, 0, 0), (9, 8, 7)),
    dataset="d",
    data="f",
    crop=41,
    base_size=None,
    step=3,
)


def header_only(path, value):
    """A file with this header, and no tensors but one."""
    text = value if isinstance(value, str) else json.dumps(value)
    save_file({"x": torch.zeros(1)}, path, metadata={"psp": text})
    return path


@pytest.mark.slow
def test_every_value_of_a_header_is_checked(tmp_path):
    good = json.loads(HEADER.to_json())
    read_header(header_only(tmp_path / "w.safetensors", good))
    for value, what in poisoned(good):
        path = header_only(tmp_path / "w.safetensors", value)
        try:
            read_header(path)
        except PspError as error:
            assert str(error).startswith(f"{path}: "), what
            assert "\n" not in str(error) and "\x1b" not in str(error) and len(str(error)) < 400


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("crop", -41),
        ("crop", 10**9),
        ("crop", "41"),
        ("crop", "41x8"),
        ("crop", "41x41"),
        ("crop", "whole"),
        ("crop", [57, 41]),
        ("crop", True),
        ("base_size", 0),
        ("base_size", 10**9),
        ("max_side", -1),
        ("step", -1),
        ("step", 1.5),
        ("classes", ["a", "a"]),
        ("classes", ["a", ""]),
        ("classes", ["a", "b\x1b[31m"]),
        ("classes", ["a"] * 3),
        ("palette", [[0, 0, 0], [0, 0, 256]]),
        ("palette", [[0, 0, 0], [0, 0]]),
        ("dataset", ""),
        ("dataset", "a\0b"),
        ("preprocessing.std", [1, 1, 0]),
        ("preprocessing.std", [1, 1, -1]),
        ("preprocessing.mean", [1, 1, 10**9]),
        ("preprocessing.mean", [1, 1]),
        ("architecture.classes", 256),
        ("architecture.classes", 10**9),
        ("architecture.head_width", 10**9),
        ("architecture.stem_widths", [64, 64, 10**9]),
        ("architecture.bins", [10**9]),
        ("architecture.bins", list(range(1, 100))),
        ("architecture.aux", 1),
        ("architecture.backbone", "../../x"),
        ("architecture.dropout", "0.1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("read", [read_header, lambda path: summarize(path, "w"), load_network])
def test_a_header_with_a_wrong_value_names_file_and_key(tmp_path, place, value, read):
    header = json.loads(HEADER.to_json())
    *outer, key = place.split(".")
    (header[outer[0]] if outer else header)[key] = value
    path = header_only(tmp_path / "w.safetensors", header)
    with error_naming(PspError, path, key):
        read(path)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 50_000,
        '{"a": NaN}',
        '{"a": 1, "a": 1}',
        '"x"',
        '{"std": 1e999}',
        " " * (65 << 20),
    ],
    ids=lambda text: text[:12],
)
def test_a_header_that_is_no_json_is_one_line(tmp_path, text):
    path = header_only(tmp_path / "w.safetensors", text)
    with error_naming(PspError, path, "damaged"):
        read_header(path)


def test_a_header_of_a_newer_psp_is_called_so(tmp_path):
    header = json.loads(HEADER.to_json())
    for change, words in (
        ({"depth": 1}, ("'depth'",)),
        ({"version": 2}, ("2",)),
        ({"architecture": {**header["architecture"], "depth": 1}}, ("'architecture.depth'",)),
        ({"preprocessing": {**header["preprocessing"], "gamma": 1}}, ("'preprocessing.gamma'",)),
    ):
        path = header_only(tmp_path / "w.safetensors", {**header, **change})
        with error_naming(PspError, path, "newer", "Upgrade psp", *words) as error:
            read_header(path)
        assert "damaged" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("head.bn.weight", lambda tensor: tensor * float("nan"), "not finite"),
        ("head.bn.running_var", lambda tensor: tensor - 5, "negative"),
        ("head.bn.weight", lambda tensor: tensor.half(), "float16"),
        ("head.bn.weight", lambda tensor: tensor.long(), "int64"),
        ("head.bn.weight", lambda tensor: tensor[:3], "head.bn.weight"),
    ],
)
def test_tensors_without_meaning_are_refused(tmp_path, name, change, words):
    state = build(SPEC).state_dict()
    state[name] = change(state[name])
    path = tmp_path / "w.safetensors"
    save_weights(path, state, HEADER)
    with error_naming(PspError, path, name, words):
        load_network(path)

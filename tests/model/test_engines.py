"""Every engine gives torch's label maps, of weights and of what psp export writes."""

from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from helpers.plain_nets import randomize

from psp.errors import PspError
from psp.events import Notice
from psp.model.architecture import Architecture
from psp.model.choice import Choice
from psp.model.engines.registry import ENGINES, choose_engine
from psp.model.load import load_sliding_window
from psp.model.onnx_metadata import read_metadata
from psp.model.procedure import Published
from psp.model.pspnet import build
from psp.model.weights import ONNX_KEYS, Header, read_header, save_weights
from psp.settings.size import Size
from psp.zoo.export import export

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
CPU = torch.device("cpu")
OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(not installed, reason=f"{name} is not installed"))
    for name, installed in (("onnxruntime", True), ("openvino", find_spec("openvino")))
]
HEADER = Header(
    architecture=Architecture(
        backbone="resnet18", classes=3, stem="deep", bins=(1, 2), head_width=32
    ),
    classes=("a", "é", "c"),
    palette=((0, 0, 0), (9, 8, 7), (1, 1, 1)),
    dataset="d",
    data="",
    crop=41,
    base_size=None,
    step=0,
)
MMSEG = replace(
    HEADER,
    architecture=replace(HEADER.architecture, align_corners=False),
    procedure=Published("mmseg", windows="whole"),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with two networks and what is exported of the first."""
    folder = tmp_path_factory.mktemp("models")
    for name, header in (("net", HEADER), ("mmseg", MMSEG)):
        network = randomize(build(header.architecture))
        save_weights(folder / f"{name}.safetensors", network.state_dict(), header)
    weights = folder / "net.safetensors"
    export(weights, folder / "net.onnx")
    export(weights, folder / "wide.onnx", Size(57, 41))
    export(weights, folder / "pixels.onnx", include=("preprocess",))
    export(weights, folder / "labels.onnx", include=("preprocess", "argmax"))
    export(folder / "mmseg.safetensors", folder / "mmseg.onnx", Size(48, 41))
    return folder


@pytest.fixture
def image(rng):
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:41, :60]


@lru_cache
def load(path, engine=None):
    """Return a model in an engine, its header, and what was said of it."""
    said = []
    name = choose_engine(path, engine, "fp32", CPU).name
    model, header = load_sliding_window(path, CPU, torch.float32, engine=name, report=said.append)
    return model, header, said


def probabilities(path, image, engine=None, **options):
    model, header, _ = load(path, engine)
    return model.probabilities(image, Choice(**options)(header)).numpy()


PROCEDURES = [
    {},
    {"scales": (0.75, 1.25), "flip": True, "blend": "taper"},
    {"named": "caffe", "base_size": 50},
]


@pytest.mark.slow
@pytest.mark.parametrize("options", PROCEDURES, ids=str)
@pytest.mark.parametrize("engine", OTHERS)
def test_weights_in_an_engine_give_torchs_probabilities(models, image, engine, options):
    weights = models / "net.safetensors"
    found = probabilities(weights, image, engine, **options)
    assert np.abs(found - probabilities(weights, image, **options)).max() < 1e-4
    (notice,) = load(weights, engine)[2]
    assert isinstance(notice, Notice) and engine in notice.text and "torch" in notice.text


@pytest.mark.slow
@pytest.mark.parametrize("options", PROCEDURES, ids=str)
@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("name", ["net.onnx", "pixels.onnx"])
def test_an_exported_file_gives_torchs_probabilities(models, image, engine, options, name):
    expected = probabilities(models / "net.safetensors", image, **options)
    found = probabilities(models / name, image, engine, **options)
    # Pixels are rounded where the picture was resized, so the probabilities are not the same.
    resized = name == "pixels.onnx" and {"scales", "base_size"} & options.keys()
    assert np.abs(found - expected).max() < (0.1 if resized else 1e-4)
    assert (found.argmax(0) == expected.argmax(0)).mean() > (0.97 if resized else 0.999)


@pytest.mark.parametrize("engine", OTHERS)
def test_class_ids_are_counted_as_votes_and_have_no_probabilities(models, image, engine):
    model, header, _ = load(models / "labels.onnx", engine)
    apart = image[:41, :41]  # one window: the labels are the file's own
    expected = probabilities(models / "net.safetensors", apart, flip=False).argmax(0)
    found = model.label_map(apart, Choice(flip=False)(header)).numpy()
    assert (found == expected).mean() > 0.999
    assert model.label_map(image, Choice()(header)).shape == image.shape[:2]
    with pytest.raises(PspError) as error:
        model.probabilities(image, Choice()(header))
    assert "class ids" in str(error.value) and "argmax" in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("engine", OTHERS)
def test_whole_pictures_of_any_size_run_from_weights(models, image, engine):
    weights = models / "mmseg.safetensors"
    for size in ((41, 60), (40, 33)):
        some = image[: size[0], : size[1]]
        found = probabilities(weights, some, engine)
        assert np.abs(found - probabilities(weights, some)).max() < 1e-4


def test_a_file_is_run_in_the_windows_that_it_takes(models, image):
    for name, windows in (("wide", "57x41"), ("mmseg", "48x41")):
        procedure = Choice()(read_header(models / f"{name}.onnx"))
        assert procedure.windows == windows
        weights = models / ("net.safetensors" if name == "wide" else "mmseg.safetensors")
        expected = probabilities(weights, image, windows=windows)
        found = probabilities(models / f"{name}.onnx", image)
        assert np.abs(found - expected).max() < 1e-4
    for options in ({"crop": 57}, {"windows": "whole"}, {"windows": "57x41"}):
        with pytest.raises(PspError) as error:
            Choice(**options)(read_header(models / "net.onnx"))
        assert "41x41" in str(error.value) and "--size" in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("engine", OTHERS)
def test_a_fixed_batch_is_filled_up(models, image, tmp_path, engine):
    model = onnx.load(models / "net.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(model, tmp_path / "three.onnx")
    found = probabilities(tmp_path / "three.onnx", image, engine)
    assert np.abs(found - probabilities(models / "net.onnx", image, engine)).max() < 1e-5


def test_metadata_are_those_that_onnxs_own_library_reads(models):
    for name in ("net.onnx", "labels.onnx"):
        read = {e.key: e.value for e in onnx.load(models / name).metadata_props}
        assert read_metadata(models / name) == read
        assert set(read) == set(ONNX_KEYS)


def test_what_is_no_file_of_psp_is_refused(models, tmp_path):
    foreign = onnx.load(models / "net.onnx")
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    whole = (models / "net.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    expected = {
        "foreign.onnx": ["classes, palette, preprocessing, procedure, windows", "psp export"],
        "cut.onnx": ["cut off", "psp export"],
        "empty.onnx": ["not an ONNX file"],
        "text.onnx": ["not an ONNX file"],
        "none.onnx": ["no such file"],
    }
    for name, words in expected.items():
        with pytest.raises(PspError) as error:
            read_header(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: "), error.value
        assert all(word in str(error.value) for word in words), error.value


def test_what_an_engine_cannot_do_is_refused(models, monkeypatch):
    weights, file = models / "net.safetensors", models / "net.onnx"
    refused = [
        (
            lambda: load_sliding_window(file, CPU, torch.float32, engine="torch"),
            "torch does not run",
        ),
        (lambda: choose_engine(file, "tensort", "auto", CPU), "--engine tensort"),
        (lambda: choose_engine(file, "onnxruntime", "bf16", CPU), "fp32 alone"),
        (
            lambda: load_sliding_window(
                file, CPU, torch.float32, engine="onnxruntime", compiled=True
            ),
            "--compile",
        ),
    ]
    for call, words in refused:
        with pytest.raises(PspError) as error:
            call()
        assert words in str(error.value)
    assert choose_engine(file, None, "auto", CPU).name == "onnxruntime"
    assert choose_engine(weights, None, "fp32", CPU).text == "fp32"
    assert choose_engine(weights, "onnxruntime", "auto", CPU).text == "fp32 onnxruntime"
    monkeypatch.setitem(ENGINES, "off", "helpers.engines:OFF")
    with pytest.raises(PspError) as error:
        load_sliding_window(weights, CPU, torch.float32, engine="off")
    assert "differ" in str(error.value) and "--engine torch" in str(error.value)

"""An ONNX file gives torch's logits, at any batch; what ONNX cannot say is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.plain_nets import randomize
from PIL import Image

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.preprocessing import Preprocessing
from psp.model.pspnet import build, upsample
from psp.model.weights import Header, save_weights
from psp.settings.size import Size
from psp.zoo.export import export, parse_include, parse_size

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def model(path, spec, **fields):
    header = Header(
        architecture=spec,
        classes=("a", "é", "c"),
        palette=((0, 0, 0), (9, 8, 7), (1, 1, 1)),
        dataset="d",
        data="",
        crop=89,
        base_size=None,
        step=0,
        **fields,
    )
    network = randomize(build(spec))
    save_weights(path, network.state_dict(), header)
    return network


def run(path, images):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images})[0], session.get_modelmeta()


FIELDS = [
    ({"backbone": "resnet18", "stem": "7x7"}, (185, 185)),  # whose map divides by all bins
    pytest.param(
        {"backbone": "resnet50", "stride_in": "1x1", "first_dilation": "half"},
        (57, 89),
        marks=pytest.mark.slow,
    ),
    ({"backbone": "resnet18", "align_corners": False, "level_width": 64}, (100, 137)),
    ({"backbone": "resnet18", "pooling": "max", "reduce": False, "bins": (1, 6)}, (89, 41)),
    ({"backbone": "resnet18", "bins": ()}, (41, 41)),
    ({"backbone": "resnet18", "basic_dilation": "first", "aux": False}, (41, 50)),
    pytest.param({"backbone": "convnext_tiny"}, (89, 57), marks=pytest.mark.slow),
    ({"backbone": "patches"}, (89, 52)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("fields", "size"), FIELDS, ids=lambda value: str(value)[:50])
def test_onnx_gives_torchs_logits(tmp_path, plugin, fields, size):
    network = model(
        tmp_path / "w.safetensors", Architecture(classes=3, **{"stem": "deep", **fields})
    )
    done = export(tmp_path / "w.safetensors", tmp_path / "o.onnx", Size(size[1], size[0]))
    assert done.difference <= 1e-5
    if min(size) > 200:
        return  # it has compared the same itself; once more below, on what is quick
    images = torch.randn(1, 3, *size)
    found, _ = run(tmp_path / "o.onnx", images.numpy())
    with torch.inference_mode():
        expected = upsample(
            network(images).main, size, align_corners=network.spec.align_corners
        ).numpy()
    assert found.shape == (1, 3, *size)
    assert np.abs(found - expected).max() <= 1e-5 * np.ptp(expected)


@pytest.mark.slow
def test_the_batch_is_free_and_the_file_describes_itself(tmp_path):
    spec = Architecture(classes=3, backbone="resnet18", bins=(1, 2), stem="deep")
    caffe = Preprocessing(mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0))
    model(tmp_path / "w.safetensors", spec, preprocessing=caffe)
    export(tmp_path / "w.safetensors", tmp_path / "o.onnx")
    images = np.random.default_rng(0).normal(size=(3, 3, 89, 89)).astype(np.float32)
    together, about = run(tmp_path / "o.onnx", images)
    alone = np.concatenate([run(tmp_path / "o.onnx", images[i : i + 1])[0] for i in range(3)])
    assert np.abs(together - alone).max() <= 1e-5 * np.ptp(alone)
    metadata = about.custom_metadata_map
    assert json.loads(metadata["classes"]) == ["a", "é", "c"]
    assert json.loads(metadata["preprocessing"]) == {
        "channels": "RGB",
        "mean": [123.68, 116.779, 103.939],
        "std": [1.0, 1.0, 1.0],
    }
    assert json.loads(metadata["psp"])["crop"] == 89
    first = (tmp_path / "o.onnx").read_bytes()
    export(tmp_path / "w.safetensors", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == first


FORMS = [
    ("preprocess", {"opset": 13, "upsampled": False}),
    ("argmax", {"half": True, "opset": 21}),
    ("preprocess,argmax", {"half": True}),
    ("", {"half": True, "opset": 13}),
    pytest.param("preprocess,argmax", {"half": True, "backbone": "patches"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("include", "options"), FORMS, ids=str)
def test_every_form_of_a_file_gives_torchs_result(tmp_path, plugin, include, options):
    form = {"backbone": "resnet18", **options}
    spec = Architecture(
        classes=3, backbone=form.pop("backbone"), stem="deep", bins=(1, 2), head_width=32
    )
    network = model(tmp_path / "w.safetensors", spec)
    parts = parse_include(include)
    export(tmp_path / "w.safetensors", tmp_path / "o.onnx", Size(50, 41), include=parts, **form)
    pixels = np.random.default_rng(3).integers(0, 256, (2, 41, 50, 3), np.uint8)
    normalized = Preprocessing()(torch.from_numpy(pixels)).contiguous()
    session = onnxruntime.InferenceSession(tmp_path / "o.onnx", providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    (found,) = session.run(
        None, {"images": pixels if "preprocess" in parts else normalized.numpy()}
    )
    with torch.inference_mode():
        expected = network(normalized).main
        if form.get("upsampled", True):
            expected = upsample(expected, (41, 50))
        expected = expected.numpy()
    tolerance = (1e-2 if form.get("half") else 1e-5) * np.ptp(expected)
    assert taken.shape == ["batch", *((41, 50, 3) if "preprocess" in parts else (3, 41, 50))]
    assert taken.type == ("tensor(uint8)" if "preprocess" in parts else "tensor(float)")
    if "argmax" in parts:
        assert given.name == "labels" and given.type == "tensor(uint8)"
        assert found.shape == (2, 41, 50)
        best = np.take_along_axis(expected, found[:, None].astype(int), 1)[:, 0]
        assert (expected.max(1) - best).max() <= tolerance
    else:
        assert given.name == "logits" and np.abs(found - expected).max() <= tolerance


@pytest.mark.slow
def test_fp16_halves_the_file(tmp_path):
    spec = Architecture(classes=3, backbone="resnet18", stem="deep", bins=(1,), head_width=32)
    model(tmp_path / "w.safetensors", spec)
    for name, half in (("full", False), ("half", True)):
        export(tmp_path / "w.safetensors", tmp_path / f"{name}.onnx", Size(41, 41), half=half)
    full, half = ((tmp_path / f"{name}.onnx").stat().st_size for name in ("full", "half"))
    assert 0.48 < half / full < 0.52


@pytest.mark.slow
def test_int8_is_calibrated_and_compared(tmp_path, rng, monkeypatch):
    spec = Architecture(classes=3, backbone="resnet18", stem="deep", bins=(1, 2), head_width=32)
    network = model(tmp_path / "w.safetensors", spec)
    coarse = rng.normal(size=(10, 3, 6, 6)).astype(np.float32)
    windows = np.kron(coarse, np.ones((1, 1, 8, 8), np.float32))[..., :41, :41]
    out = tmp_path / "o.onnx"
    done = export(
        tmp_path / "w.safetensors", out, Size(41, 41), calibration=lambda header: list(windows)
    )
    export(tmp_path / "w.safetensors", tmp_path / "full.onnx", Size(41, 41))
    assert out.stat().st_size < 0.3 * (tmp_path / "full.onnx").stat().st_size
    found, about = run(out, windows[:1])
    with torch.inference_mode():
        expected = upsample(network(torch.from_numpy(windows[:1])).main, (41, 41)).numpy()
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.8
    assert 0.8 <= done.agreement <= 1 and "psp" in about.custom_metadata_map
    monkeypatch.setattr("psp.zoo.export.AGREEMENT", 1.01)
    with pytest.raises(PspError) as error:
        export(
            tmp_path / "w.safetensors",
            tmp_path / "x.onnx",
            Size(41, 41),
            calibration=lambda header: windows[:2],
        )
    assert "int8" in str(error.value) and not (tmp_path / "x.onnx").exists()
    with pytest.raises(PspError) as error:
        export(tmp_path / "w.safetensors", out, half=True, calibration=lambda header: [])
    assert "--fp16" in str(error.value) and "--int8" in str(error.value)


@pytest.mark.parametrize("text", ["nms", "argmax,softmax", "preprocess;argmax"])
def test_what_cannot_be_included_is_refused(text):
    with pytest.raises(PspError) as error:
        parse_include(text)
    assert f"--include {text}: " in str(error.value) and "argmax" in str(error.value)


@pytest.mark.slow
def test_what_cannot_be_written_is_said(tmp_path, monkeypatch):
    spec = Architecture(classes=3, backbone="resnet18", pooling="max", stem="deep")
    path, out = tmp_path / "w.safetensors", tmp_path / "o.onnx"
    model(path, spec)
    with pytest.raises(PspError) as error:
        export(path, out, Size(97, 97))
    text = str(error.value)
    assert "max pooling" in text and "13x13" in text and "--size" in text and "473" in text
    with pytest.raises(PspError) as error:
        export(path, out, Size(5, 89))
    assert "--size 5x89: " in str(error.value) and "9 to 4097" in str(error.value)
    for opset in (12, 22):
        with pytest.raises(PspError) as error:
            export(path, out, opset=opset)
        assert f"--opset {opset}: " in str(error.value) and "13 to 21" in str(error.value)
    model(path, replace(spec, pooling="average"))
    monkeypatch.setattr("psp.zoo.export.largest_difference", lambda *arguments: float("nan"))
    with pytest.raises(PspError) as error:
        export(path, out)
    assert f"{out}: not written" in str(error.value) and "onnxruntime" in str(error.value)
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "size"), [("473", (473, 473)), ("1425x713", (1425, 713)), ("9X9", (9, 9))]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "1x2x3", "-5", "4.5", "axb"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(PspError) as error:
        parse_size(text)
    assert f"--size {text}: " in str(error.value) and "473" in str(error.value)


def test_a_size_left_open_is_refused_with_the_reason(tmp_path, journey, psp):
    code, _, err = psp("export", journey.folder / "run", "o.onnx", "--size", "dynamic")
    assert code == 2 and "--size dynamic: " in err and "pyramid" in err
    code, out, err = psp("export", journey.folder / "run", "o.onnx", check=0)
    assert out.strip() == "o.onnx" and "float32 (batch, 3, 41, 41)" in err
    assert "agrees with torch" in err
    code, _, err = psp("export", journey.folder / "run", "o.onnx")
    assert code == 2 and "--overwrite" in err
    code, _, err = psp("export", journey.folder / "run", "o.bin")
    assert code == 2 and "o.bin" in err and ".onnx" in err


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_the_file_that_ships_is_the_file_that_is_scored(tmp_path, journey, psp, engine):
    """Its label maps and counts are those of the weights, up to a pixel in ten thousand."""
    pytest.importorskip(engine)
    place = journey.folder
    psp("export", place / "run", "net.onnx", "--include", "preprocess", check=0)
    how = ["--engine", engine, "--precision", "fp32"]
    psp("predict", place / "raw/images/val", "-m", "net.onnx", "-o", "file", *how, check=0)
    same = [
        np.asarray(Image.open(tmp_path / "file/labels" / path.name)) == np.asarray(Image.open(path))
        for path in sorted((place / "predicted/labels").glob("*.png"))
    ]
    assert len(same) == 4
    assert np.mean(same) > 0.995  # predicted/ is of bfloat16, where the processor has it
    code, _, err = psp("predict", place / "raw/images/val", "-m", place / "run", "-o", "file")
    assert code == 2 and f"fp32 {engine}" in err  # other results than those in the folder
    if engine == "openvino":
        return  # evaluations go the same way
    data = ["--data", place / "shards", "-o", "scores"]
    psp("evaluate", "net.onnx", *data, *how, check=0)
    psp("evaluate", place / "run", *data, "--precision", "fp32", check=0)
    stored = sorted((tmp_path / "scores").glob("val*.json"), key=lambda p: engine not in p.name)
    file, own = (json.loads(path.read_text()) for path in stored)
    assert file["procedure"]["precision"] == f"fp32 {engine}"
    assert np.abs(np.subtract(file["confusion"], own["confusion"])).sum() <= 2
    assert file["procedure_fingerprint"] != own["procedure_fingerprint"]
    psp("evaluate", "net.onnx", *data[:2], "--check", stored[0], check=0)


def test_weights_are_asked_for_where_an_export_will_not_do(journey, psp):
    psp("export", journey.folder / "run", "net.onnx", "--include", "preprocess,argmax", check=0)
    for command in (
        ["export", "net.onnx", "again.onnx"],
        ["train", journey.folder / "shards", "--init", "net.onnx"],
        ["import", "net.onnx", "again.safetensors", "--card", journey.folder / "tiny.toml"],
    ):
        code, _, err = psp(*command)
        assert code == 2 and "net.onnx: an ONNX network" in err, err
    photos = journey.folder / "raw/images/val"
    code, _, err = psp("predict", photos, "-m", "net.onnx", "--probabilities")
    assert code == 2 and "class ids" in err and "argmax" in err
    psp("predict", photos, "-m", "net.onnx", "-o", "out", check=0)
    code, _, err = psp("predict", photos, "-m", "net.onnx", "--windows", "whole")
    assert code == 2 and "41x41" in err
    out = psp("inspect", "net.onnx", check=0)[1]
    assert "resnet" in out

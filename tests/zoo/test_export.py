"""An ONNX file gives torch's logits, at any batch; what ONNX cannot say is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.plain_nets import randomize

from psp.errors import PspError
from psp.model.architecture import Architecture
from psp.model.preprocessing import Preprocessing
from psp.model.pspnet import build, upsample
from psp.model.weights import Header, save_weights
from psp.settings.size import Size
from psp.zoo.export import export, parse_size

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
    pytest.param({"backbone": "resnet18", "stem": "7x7"}, (473, 473), marks=pytest.mark.slow),
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

"""Files that psp 0.1.0 wrote still open, and give what they gave then.

tests/fixtures/build_0_1_0.py made the archive, with psp 0.1.0. Its run holds real momentum, its
weights compress as most of them are zero. `expected.json` is what 0.1.0 itself read in the files.
"""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import psp as package
from psp.data.shards import ShardSplit

ARCHIVE = Path(__file__).parent / "fixtures/made_by_0.1.0.tar.xz"


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The unpacked files, with their times; no test may change them."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    yield folder
    shutil.rmtree(folder)  # it is large


@pytest.fixture(scope="module")
def expected(old):
    return json.loads((old / "expected.json").read_text())


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.mark.parametrize("folder", ["shards", "shards-raw"])
def test_shards_hold_the_same_pictures_and_labels(old, expected, folder):
    known = expected["shards"][folder]
    for name in ("train", "val"):
        split = ShardSplit(old / folder, name)
        assert split.fingerprint == known["fingerprint"]
        assert split.pixels.sum(0).tolist() == known[name]["histogram"]
        for index, (image, label) in enumerate(
            zip(known[name]["images"], known[name]["labels"], strict=True)
        ):
            assert digest(split.image(index)) == image["sha256"]
            assert digest(split.label(index)) == label["sha256"]


@pytest.mark.parametrize("folder", ["shards", "shards-raw"])
def test_shards_are_verified_and_inspected(old, psp, folder):
    assert psp("verify", folder, cwd=old, check=0)
    assert "sky" in psp("inspect", folder, cwd=old, check=0)[1]


@pytest.mark.slow
def test_weights_give_the_same_label_maps(old, expected, psp, tmp_path):
    """Overlapping windows counted the same then: --blend uniform."""
    predictor = package.load(old / "weights.safetensors", device="cpu", precision="fp32")
    assert list(predictor.classes) == expected["classes"]
    assert [list(color) for color in predictor.palette] == expected["palette"]
    for name, known in expected["label_maps"].items():
        stem = Path(name).stem
        options = ["--blend", "uniform", "--precision", "fp32", "--device", "cpu"]
        psp("predict", old / name, "-m", old / "weights.safetensors", *options, "-o", stem, check=0)
        labels = np.asarray(Image.open(tmp_path / f"{stem}/labels/{stem}.png"))
        assert list(labels.shape) == known["shape"]
        assert digest(labels) == known["sha256"], name


@pytest.mark.slow
def test_a_run_is_evaluated(old, expected, psp, tmp_path):
    shutil.copytree(old / "run", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    options = ["--data", old / "shards", "--precision", "fp32", "--device", "cpu", "--json"]
    _, out, _ = psp("evaluate", "run", *options, check=0)
    scores = json.loads(out)
    assert scores["miou"] == pytest.approx(expected["evaluation"]["miou"], abs=1e-9)
    assert scores["trained_on_these_shards"] is True
    assert "resnet18" in psp("inspect", "run", check=0)[1]


@pytest.mark.slow
def test_a_stopped_training_continues_to_the_same_weights(old, expected, psp, tmp_path):
    """Two threads or another CPU round otherwise; a lost momentum would show in the third digit."""
    from psp.model.weights import read_weights

    shutil.copytree(old / "run", tmp_path / "run")
    psp("train", old / "shards", "-o", "run", "--resume", "--device", "cpu", check=0)
    header, tensors = read_weights(tmp_path / "run/last.safetensors")
    known = expected["resumed"]
    assert header.step == known["step"]
    for part in ("head", "aux"):
        bias = tensors[f"{part}.classifier.bias"].tolist()
        assert bias == pytest.approx(known[f"{part}_bias"], abs=1e-4)
    shutil.rmtree(tmp_path / "run")


def test_a_prediction_folder_is_continued(old, expected, psp, tmp_path):
    shutil.copytree(old / "photos-parsed", tmp_path / "photos-parsed")
    shutil.copytree(old / "photos", tmp_path / "photos")  # with the files' times
    options = ["-m", old / "weights.safetensors", "--precision", "fp32", "--device", "cpu"]
    _, out, _ = psp("predict", "photos", *options, "-o", "photos-parsed", "--json", check=0)
    result = json.loads(out)
    assert result["skipped"] == expected["predicted"]["skipped"]
    assert result["predicted"] == expected["predicted"]["parsed"] == ["third"]
    assert not result["failed"]


def test_a_stored_evaluation_is_shown(old, psp, tmp_path):
    """Without the matrix, pictures and fingerprints that 0.1.0 did not store."""
    shutil.copytree(old / "run", tmp_path / "run")
    _, out, _ = psp("report", "run", check=0)
    assert "run/report.html" in out and "val-ss-flip-fp32.html" in out
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "24.85" in page and "37.27" in page and "without its confusion matrix" in page

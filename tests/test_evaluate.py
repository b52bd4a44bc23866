"""psp evaluate: its JSON equals a brute-force count over the label maps that psp predict wrote."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from psp.metrics import Confusion


def brute_counts(truth, guess, classes):
    counts = np.zeros((classes, classes), np.int64)
    for t, g in zip(truth.ravel().tolist(), guess.ravel().tolist(), strict=True):
        if t != 255:
            counts[t, g] += 1
    return counts


def test_the_json_equals_a_count_over_predicted_label_maps(journey, psp):
    folder = journey.folder
    psp("evaluate", "run", "--no-flip", "-q", cwd=folder, check=0)
    found = json.loads((folder / "run/evaluations/val-ss.json").read_text())
    confusion = Confusion(9)
    for path in sorted((folder / "raw/labels/val").iterdir()):
        truth = np.array(Image.open(path))
        guess = np.array(Image.open(folder / "parsed/labels" / path.name))
        confusion.add(brute_counts(truth, guess, 9))
    scores = confusion.scores()
    assert found["miou"] == scores.miou
    assert found["mean_accuracy"] == scores.mean_accuracy
    assert found["pixel_accuracy"] == scores.pixel_accuracy
    for number, entry in enumerate(found["per_class"]):
        assert entry["pixels"] == scores.pixels[number]
        expected = None if np.isnan(scores.iou[number]) else scores.iou[number]
        assert entry["iou"] == expected


def test_the_record_says_what_was_done(journey):
    record = journey.evaluation
    assert record["images"] == 4
    assert record["split"] == "val"
    assert record["weights"] == "best"
    assert record["trained_on_these_shards"] is True
    assert record["protocol"]["flip"] is True
    assert record["protocol"]["crop"] == 41
    assert [entry["name"] for entry in record["per_class"]][:3] == ["sky", "water", "road"]


def test_the_table_is_on_stdout_and_remarks_on_stderr(journey):
    _, out, err = journey.says["evaluate"]
    assert "mIoU" in out and "boat" in out and "best weights" in out
    assert "saved: run/evaluations/val-ss-flip.json" in err


def test_json_on_stdout_is_the_file(journey, psp):
    _, out, _ = psp("evaluate", "run", "--json", "-q", cwd=journey.folder, check=0)
    assert json.loads(out) == journey.evaluation


def test_multi_scale_and_last_weights_get_names_of_their_own(journey, psp):
    psp(
        "evaluate", "run", "--scales", "1.0,1.5", "--weights", "last", "--crop", "89", "-q",
        cwd=journey.folder, check=0,
    )  # fmt: skip
    path = journey.folder / "run/evaluations/val-s1_1.5-flip-crop89-last.json"
    assert json.loads(path.read_text())["protocol"]["scales"] == [1.0, 1.5]


def test_a_weights_file_needs_data(journey, psp):
    weights = "run/best.safetensors"
    code, _, err = psp("evaluate", weights, cwd=journey.folder)
    assert code == 2 and "Add --data SHARDS" in err
    _, out, _ = psp("evaluate", weights, "--data", "shards", "--json", cwd=journey.folder, check=0)
    assert json.loads(out)["miou"] == journey.evaluation["miou"]


def test_shards_of_another_card_are_refused(journey, psp, camvid_raw, tmp_path):
    psp("prepare", "camvid", camvid_raw, "--allow-incomplete", "-o", "c", "-q", check=0)
    code, out, err = psp("evaluate", journey.folder / "run", "--data", "c")
    assert code == 2 and out == ""
    assert "shards of camvid do not fit" in err and "11 classes, the model has 9" in err


def test_scores_on_other_shards_do_not_replace_the_runs_own(journey, psp, tmp_path):
    """The same data set prepared from fewer pictures: a file of its own, and a remark."""
    shutil.copytree(journey.folder / "run", tmp_path / "run")
    shutil.copytree(journey.folder / "raw", tmp_path / "raw")
    shutil.copy(journey.folder / "tiny.toml", tmp_path)
    next((tmp_path / "raw/images/val").iterdir()).unlink()
    psp("prepare", "tiny.toml", "raw", "-o", "fewer", "--allow-incomplete", "-q", check=0)
    own = tmp_path / "run/evaluations/val-ss-flip.json"
    before = own.read_bytes()
    _, _, err = psp("evaluate", "run", "--data", "fewer", check=0)
    assert own.read_bytes() == before
    assert "not the shards that the model was trained with" in err
    (other,) = (tmp_path / "run/evaluations").glob("val-ss-flip-tiny-*.json")
    assert json.loads(other.read_text())["images"] == 3


def test_moved_shards_are_said(journey, psp, tmp_path):
    shutil.copytree(journey.folder / "run", tmp_path / "run")
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["data"] = str(tmp_path / "gone")
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    code, _, err = psp("evaluate", "run")
    assert code == 2 and "gone: no such folder" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such run or weights file"),
        (["run", "--split", "tets"], "no split 'tets'"),
        (["run", "--crop", "100"], "Nearest good ones: 89 or 137"),
        (["run", "--scales", "a"], "--scales a: numbers"),
        (["run", "--scales", "1", "--multi-scale"], "give one of them"),
        (["run", "--weights", "worst"], "--weights worst: one of best, last"),
        (["run", "--device", "tpu"], "--device tpu: one of"),
        (["run", "--precision", "fp8"], "--precision fp8: one of"),
        (["raw"], "not a run"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(journey, psp, arguments, message):
    code, out, err = psp("evaluate", *arguments, cwd=journey.folder)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1

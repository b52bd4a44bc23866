"""psp evaluate: its JSON equals a brute-force count over the label maps that psp predict wrote."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from psp.evaluate.boundary import boundary_counts
from psp.evaluate.evaluation import procedure_fingerprint
from psp.evaluate.metrics import SCORES, boundary_f, scores_of
from psp.runs import Run


@pytest.mark.parametrize(
    "procedure",
    [["--as-predict"], ["--flip", "--scales", "0.75,1.5", "--blend", "uniform"]],
)
def test_the_json_equals_a_count_over_predicted_label_maps(journey, psp, tmp_path, procedure):
    """Nothing of psp's own counting is in the expectation; the equality is exact."""
    folder = journey.folder
    how = [word for word in procedure if word != "--as-predict"]
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    psp("predict", "raw/images/val", "-m", run, "-o", tmp_path / "maps", *how, cwd=folder, check=0)
    _, out, _ = psp("evaluate", run, *procedure, "--json", "-q", cwd=folder, check=0)
    found = json.loads(out)
    counts = np.zeros((9, 9), int)
    each = {}
    borders = np.zeros((9, 4), int)
    for path in sorted((folder / "raw/labels/val").iterdir()):
        target = np.array(Image.open(path))
        prediction = np.array(Image.open(tmp_path / "maps/labels" / path.name))
        here = np.zeros((9, 9), int)
        for t, g in zip(target.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            if t != 255:
                here[t, g] += 1
        counts += here
        each[path.stem] = here
        borders += boundary_counts(target, prediction, 9)  # by its definition in test_metrics.py
    hit, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    iou = [
        h / (t + g - h) if t + g - h else None for h, t, g in zip(hit, true, predicted, strict=True)
    ]
    plain = [value or 0.0 for value in iou]
    assert found["miou"] == np.mean(plain)
    occurring = [value for value in iou if value is not None]
    labeled = [value for value, t in zip(iou, true, strict=True) if t]
    assert found["miou_by_convention"] == {
        "all_classes": np.mean(plain),
        "classes_labeled_or_predicted": np.mean(occurring),
        "classes_labeled": np.mean(labeled),
    }
    recall = [h / t if t else None for h, t in zip(hit, true, strict=True)]
    assert found["mean_accuracy"] == np.mean([value or 0.0 for value in recall])
    assert found["pixel_accuracy"] == hit.sum() / true.sum()
    assert found["ade_score"] == (np.mean(plain) + hit.sum() / true.sum()) / 2
    assert found["frequency_weighted_iou"] == (true * plain).sum() / true.sum()
    assert found["mean_accuracy_labeled"] == np.mean(
        [value for value in recall if value is not None]
    )
    f1 = [2 * h / (t + g) if t + g else 0.0 for h, t, g in zip(hit, true, predicted, strict=True)]
    assert found["mean_f1"] == np.mean(f1)
    assert found["confusion"] == counts.tolist()
    for number, entry in enumerate(found["per_class"]):
        assert entry["iou"] == iou[number] and entry["accuracy"] == recall[number]
        assert (entry["pixels"], entry["predicted"]) == (true[number], predicted[number])
        assert entry["images"] == sum(here[number].sum() > 0 for here in each.values())
        near_predicted, all_predicted, near_true, all_true = borders[number]
        if all_predicted and all_true:
            precision, recall_ = near_predicted / all_predicted, near_true / all_true
            expected = 2 * precision * recall_ / (precision + recall_) if precision else 0
            assert entry["boundary_f"] == pytest.approx(expected, abs=1e-12)
    assert [entry["name"] for entry in found["pictures"]] == sorted(each)
    for entry in found["pictures"]:
        here = each[entry["name"]]
        union = here.sum(0) + here.sum(1) - here.diagonal()
        assert entry["miou"] == np.mean((here.diagonal() / np.maximum(union, 1))[union > 0])
        assert entry["pixel_accuracy"] == here.trace() / here.sum()


def test_the_record_says_what_was_done(journey):
    record = journey.evaluation
    assert record["images"] == 4
    assert record["split"] == "val"
    assert record["weights"] == "best"
    assert record["trained_on_these_shards"] is True
    assert record["procedure"]["flip"] is True
    assert record["procedure"]["crop"] == 41
    assert [entry["name"] for entry in record["per_class"]][:3] == ["sky", "water", "road"]


def test_the_record_says_of_which_weights_and_shards_it_is(journey):
    """Somebody else can then check it, and compute any other score."""
    record, folder = journey.evaluation, journey.folder

    def sha256(path):
        return hashlib.sha256((folder / path).read_bytes()).hexdigest()

    assert record["weights_sha256"] == sha256("run/best.safetensors")
    assert record["data_fingerprint"] == sha256("shards/manifest.json")
    assert record["shards"] == {
        path.name: sha256(path) for path in (folder / "shards").glob("val-*.h5")
    }
    assert record["procedure_fingerprint"] == procedure_fingerprint(
        record["procedure"], record["procedure"]["precision"]
    )
    config = json.loads((folder / "run/config.json").read_text())
    assert record["data_fingerprint"] == config["data_fingerprint"]
    assert record["versions"] == {key: config["versions"][key] for key in ("psp", "torch")}


def test_all_scores_follow_from_the_stored_matrix(journey):
    record = journey.evaluation
    confusion = np.array(record["confusion"])  # rows are true classes, columns predicted ones
    assert confusion.sum(1).tolist() == [entry["pixels"] for entry in record["per_class"]]
    assert confusion.sum(0).tolist() == [entry["predicted"] for entry in record["per_class"]]
    scores = scores_of(confusion)
    assert {score.key for score in SCORES if score.key not in scores} == {"boundary_f"}
    assert scores == {key: record[key] for key in scores}
    everything = scores_of(confusion, np.array(record["borders"]))
    assert everything == {score.key: record[score.key] for score in SCORES}
    for entry, score in zip(
        record["per_class"], boundary_f(np.array(record["borders"])), strict=True
    ):
        assert entry["boundary_f"] == (None if np.isnan(score) else score)


def test_a_row_of_a_table_is_a_line_of_the_file(journey):
    """150 x 150 numbers are 150 lines, and a picture is one."""
    lines = (journey.folder / "run/evaluations/val-ss-flip.json").read_text().splitlines()
    rows = [line.strip().rstrip(",") for line in lines]
    assert len(lines) < 90
    for row in journey.evaluation["confusion"]:
        assert json.dumps(row) in rows
    assert [
        json.loads(row)["name"] for row in rows if '"pixel_accuracy"' in row and "{" in row
    ] == [entry["name"] for entry in journey.evaluation["pictures"]]


def test_the_fingerprint_of_a_procedure_is_that_of_what_decides_the_scores():
    plain = procedure_fingerprint({"crop": 41, "flip": True}, "fp32")
    also = {"crop": 41, "flip": True, "scales": [1.0], "name": "torch", "label": "ss-flip"}
    assert procedure_fingerprint(also, "fp32") == plain
    others = [
        procedure_fingerprint({"crop": 41, "flip": True}, "bf16"),
        procedure_fingerprint({"crop": 41, "flip": True, "scales": [1.0, 1.5]}, "fp32"),
        procedure_fingerprint({"crop": 41}, "fp32"),
    ]
    assert len({plain, *others}) == 4


def test_a_listed_score_is_shown_stored_and_logged(journey):
    """By its title in the table, by its key in the files."""
    out = " ".join(journey.says["evaluate"][1].split())
    logged = Run(journey.folder / "run").last_validation()
    for score in SCORES:
        assert f"{score.title} {score.show(journey.evaluation[score.key])}" in out
        assert (score.key in logged) == (score.key != "boundary_f")  # borders take a while


def test_the_table_is_on_stdout_and_remarks_on_stderr(journey):
    _, out, err = journey.says["evaluate"]
    assert "mIoU" in out and "boat" in out and "best weights" in out
    assert "all 9 classes" in out
    for word in ("boundary F", "frequency-weighted IoU", "ADE score", "worst pictures"):
        assert word in out
    assert "single scale with flip · windows of 41" in out  # how, beside every number
    assert "saved: run/evaluations/val-ss-flip.json" in err


def test_json_on_stdout_is_the_file(journey, psp):
    _, out, _ = psp("evaluate", "run", "--json", "-q", cwd=journey.folder, check=0)
    assert json.loads(out) == journey.evaluation


def test_the_report_shows_the_evaluation_its_run_and_its_pictures(journey):
    run = journey.folder / "run"
    assert "report: run/report.html" in journey.says["evaluate"][2]
    pages = [(run / name).read_text() for name in ("report.html", "evaluations/val-ss-flip.html")]
    for page in pages:
        assert f"{100 * journey.evaluation['miou']:.2f}" in page and "boat" in page
        assert journey.evaluation["weights_sha256"] in page
        assert page.count("data:image/jpeg") == 4  # of the split's four pictures
    assert "learning rate" in pages[0] and "psp train shards -o run" in pages[0]
    assert 'href="evaluations/val-ss-flip.html"' in pages[0]


def test_a_report_is_left_out_and_made_later(journey, psp, tmp_path):
    shutil.copytree(journey.folder / "run", tmp_path / "run")
    before = (tmp_path / "run/report.html").read_bytes()
    (tmp_path / "run/report.html").unlink()
    shutil.rmtree(tmp_path / "run/evaluations")
    _, _, err = psp("evaluate", "run", "--no-report", check=0)
    assert [path.name for path in (tmp_path / "run/evaluations").iterdir()] == ["val-ss-flip.json"]
    assert not (tmp_path / "run/report.html").exists() and "report" not in err
    for name in ("val-ss-flip.pictures.zip", "val-ss-flip.json"):
        shutil.copy(journey.folder / "run/evaluations" / name, tmp_path / "run/evaluations")
    _, out, _ = psp("report", "run", check=0)
    assert out.split() == ["run/report.html", "run/evaluations/val-ss-flip.html"]
    assert (tmp_path / "run/report.html").read_bytes() == before


def test_weights_without_a_run_are_stored_where_it_is_said(journey, psp, tmp_path):
    arguments = ("evaluate", journey.folder / "run/best.safetensors", "--data")
    _, _, err = psp(*arguments, journey.folder / "shards", check=0)
    assert list(tmp_path.iterdir()) == [] and "-o DIR" in err
    _, _, err = psp(*arguments, journey.folder / "shards", "-o", "out", check=0)
    assert "report: out/val-ss-flip" in err
    names = sorted(path.suffix for path in (tmp_path / "out").iterdir())
    assert names == [".html", ".json", ".zip"]


def test_multi_scale_and_last_weights_get_names_of_their_own(journey, psp):
    psp(
        "evaluate",
        "run",
        "--scales",
        "1.0,1.5",
        "--weights",
        "last",
        "--crop",
        "89",
        "-q",
        cwd=journey.folder,
        check=0,
    )
    path = journey.folder / "run/evaluations/val-s1_1.5-flip-crop89-last.json"
    assert json.loads(path.read_text())["procedure"]["scales"] == [1.0, 1.5]


def test_a_weights_file_needs_data(journey, psp):
    weights = "run/best.safetensors"
    code, _, err = psp("evaluate", weights, cwd=journey.folder)
    assert code == 2 and weights in err and "--data SHARDS" in err
    _, out, _ = psp("evaluate", weights, "--data", "shards", "--json", cwd=journey.folder, check=0)
    assert json.loads(out)["miou"] == journey.evaluation["miou"]


def test_shards_of_another_card_are_refused(journey, psp, camvid_raw, tmp_path):
    psp("prepare", "camvid", camvid_raw, "--allow-incomplete", "-o", "c", "-q", check=0)
    code, out, err = psp("evaluate", journey.folder / "run", "--data", "c")
    assert code == 2 and out == ""
    assert "camvid" in err and "11 classes" in err and " 9" in err and "--data" in err


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
    assert "shards that the model was trained with" in err
    (other,) = (tmp_path / "run/evaluations").glob("val-ss-flip-tiny-*.json")
    assert json.loads(other.read_text())["images"] == 3


def test_moved_shards_are_said(journey, psp, tmp_path):
    shutil.copytree(journey.folder / "run", tmp_path / "run")
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["data"] = str(tmp_path / "gone")
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    code, _, err = psp("evaluate", "run")
    assert code == 2 and f"{tmp_path / 'gone'}: " in err and "psp prepare" in err


@pytest.mark.parametrize(
    ("arguments", "subject", "remedy"),
    [
        (["nowhere"], "nowhere: ", "psp models"),
        (["run", "--split", "tets"], "'tets'", "val"),
        (["run", "--crop", "100"], "100", "89 or 137"),
        (["run", "--scales", "a"], "--scales a", "1.0"),
        (["run", "--scales", "1", "--multi-scale"], "--scales", "--multi-scale"),
        (["run", "--weights", "worst"], "--weights worst", "best, last"),
        (["run", "--device", "tpu"], "--device tpu", "cpu"),
        (["run", "--precision", "fp8"], "--precision fp8", "fp32"),
        (["raw"], "raw: ", "config.json"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(journey, psp, arguments, subject, remedy):
    code, out, err = psp("evaluate", *arguments, cwd=journey.folder)
    assert (code, out) == (2, "")
    assert subject in err and remedy in err
    assert len(err.strip().splitlines()) == 1


def test_the_worst_pictures_are_listed(journey, psp):
    arguments = ("evaluate", "run", "-q")
    by_score = sorted(journey.evaluation["pictures"], key=lambda entry: entry["miou"])
    _, out, _ = psp(*arguments, "--worst", "2", cwd=journey.folder, check=0)
    listed = out[out.index("worst pictures") :].splitlines()[1:]
    assert [line.split()[0] for line in listed] == [entry["name"] for entry in by_score[:2]]
    _, out, _ = psp(*arguments, "--worst", "0", cwd=journey.folder, check=0)
    assert "worst pictures" not in out


@pytest.mark.slow
@pytest.mark.ranks
def test_ranks_count_the_same_to_the_last_pixel(journey, tmp_path):
    """4 pictures on 3 ranks are 2, 1 and 1: none is padded, none counts twice."""
    shutil.copytree(journey.folder / "run", tmp_path / "run")
    shutil.copytree(journey.folder / "shards", tmp_path / "shards")
    pictures = tmp_path / "run/evaluations/val-ss-flip.pictures.zip"
    shown = pictures.read_bytes()
    pictures.unlink()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "3",
            "-m",
            "psp",
            "evaluate",
            "run",
            "--data",
            "shards",
            "--json",
            "--device",
            "cpu",
            "--save-labels",
            "labels",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    expected = {**journey.evaluation, "model": "run/best.safetensors", "label_files": "labels"}
    assert json.loads(done.stdout) == expected
    assert pictures.read_bytes() == shown
    names = {path.name for path in (tmp_path / "labels").iterdir()}
    assert names == {f"{entry['name']}.png" for entry in expected["pictures"]}


def test_a_label_out_of_range_is_named_never_dropped(journey, psp, monkeypatch):
    from psp.data.shards import ShardSplit

    real = ShardSplit.label

    def spoilt(self, index):
        label = real(self, index).copy()
        label[0, 0] = 9 if index == 2 else label[0, 0]
        return label

    monkeypatch.setattr(ShardSplit, "label", spoilt)
    code, out, err = psp("evaluate", "run", cwd=journey.folder)
    assert (code, out) == (2, "")
    assert "shards: sample '0002'" in err and "0..8: 9" in err and "psp prepare" in err


def test_a_label_of_another_size_is_named(journey, psp, monkeypatch):
    from psp.data.shards import ShardSplit

    real = ShardSplit.label
    monkeypatch.setattr(ShardSplit, "label", lambda self, index: real(self, index)[:-1])
    code, _, err = psp("evaluate", "run", cwd=journey.folder)
    assert code == 2 and "shards: sample '0000'" in err and "psp prepare" in err


def test_a_picture_that_memory_does_not_hold_is_named(journey, psp, monkeypatch):
    from psp.model.inference import SlidingWindow

    def greedy(self, image, procedure):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr(SlidingWindow, "label_map", greedy)
    code, _, err = psp("evaluate", "run", cwd=journey.folder)
    assert code == 2 and len(err.splitlines()) == 1
    assert "sample '0000'" in err and "memory on cpu" in err and "64x48" in err
    assert "--crop" in err and "--device cpu" in err


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pictures(journey, tmp_path):
    """Behind the first 60 pictures, most twenties of the next 100 must not raise the level."""
    program = f"""
import itertools, statistics
import torch
from pathlib import Path
from psp.evaluate.evaluate import tally_samples
from psp.evaluate.shown import Candidates
from psp.model.load import load_sliding_window
from psp.model.procedure import Procedure
from psp.data.shards import ShardSplit
torch.set_num_threads(1)
level = []
def report(progress):
    if progress.done >= 60 and progress.done % 20 == 0:
        level.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20)
folder = Path({str(journey.folder)!r})
weights = folder / "run/best.safetensors"
model, header = load_sliding_window(weights, torch.device("cpu"), torch.float32)
shards = ShardSplit(folder / "shards", "val")
shown = Candidates(160)
tally_samples(model, shards, Procedure(crop=41), [0, 1, 2, 3] * 40, None, shown, report)
print(statistics.median(after - before for before, after in itertools.pairwise(level)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 0.2  # MB; a picture's confusion and maps are 20 kB, 20 of them 0.4

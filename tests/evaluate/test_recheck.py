"""psp evaluate --min-miou and --check: exit code 1 where a result is not what it must be."""

import json
from dataclasses import replace

import pytest
from helpers.evaluations import evaluation, stored

from psp.errors import PspError
from psp.evaluate.recheck import recheck
from psp.evaluate.record import read_record
from psp.model.procedure import Procedure

STORED = "run/evaluations/val-ss-flip.json"


def test_a_goal_that_is_missed_says_by_how_much(journey, psp):
    miou = 100 * journey.evaluation["miou"]
    code, out, err = psp("evaluate", "run", "--min-miou", "99", "--json", "-q", cwd=journey.folder)
    assert code == 1 and json.loads(out) == journey.evaluation  # as without it
    assert len(err.splitlines()) == 1
    assert f"{miou:.2f}" in err and f"{99 - miou:.2f}" in err and "99" in err
    psp("evaluate", "run", "--min-miou", "1", "-q", cwd=journey.folder, check=0)


@pytest.mark.parametrize(
    ("arguments", "subject", "remedy"),
    [
        (["--min-miou", "0.75"], "--min-miou 0.75", "75"),
        (["--min-miou", "101"], "--min-miou 101", "1 to 100"),
        (["--min-miou", "nan"], "--min-miou nan", "1 to 100"),
        (["--check", STORED, "--no-flip"], STORED, "--flip"),
        (["--check", STORED, "--split", "val"], STORED, "--split"),
        (["--check", STORED, "-o", "run/evaluations"], STORED, "another"),
        (["--check", "run/best.safetensors"], "best.safetensors", ".json"),
        (["--check", "run/config.json"], "config.json", "psp evaluate"),
    ],
)
def test_what_cannot_be_asked_is_refused_before(journey, psp, arguments, subject, remedy):
    code, out, err = psp("evaluate", "run", *arguments, cwd=journey.folder)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1
    assert subject in err and remedy in err


def test_an_evaluation_is_reproduced_and_left_alone(journey, psp):
    folder = journey.folder
    before = sorted((path, path.stat().st_mtime_ns) for path in (folder / "run").rglob("*"))
    _, out, err = psp("evaluate", "run", "--check", STORED, cwd=folder, check=0)
    same = next(line for line in out.splitlines() if STORED in line)
    assert "8 of 8 scores" in same and "confusion matrix" in same and "saved" not in err
    assert "there," not in err  # neither other data nor weights nor versions
    after = sorted((path, path.stat().st_mtime_ns) for path in (folder / "run").rglob("*"))
    assert before == after


def test_what_differs_is_named_before_and_after(journey, psp, tmp_path):
    """A file with one pixel counted elsewhere, of other weights: each difference has a line."""
    folder = journey.folder
    value = json.loads((folder / STORED).read_text())
    row = next(row for row in value["confusion"] if sum(row))
    here = next(index for index, count in enumerate(row) if count)
    row[here] -= 1
    row[(here + 1) % len(row)] += 1
    value["miou"] += 0.001
    value["weights_sha256"] = "0" * 64
    value["pictures"][2]["miou"] = 0.0
    path = tmp_path / "other.json"
    path.write_text(json.dumps(value))
    code, out, err = psp("evaluate", "run", "--check", path, "--json", cwd=folder)
    assert code == 1
    assert "0" * 12 in err and journey.evaluation["weights_sha256"][:12] in err
    found = json.loads(out)["check"]
    assert found["same"] is False and len(found["differences"]) == 3
    text = "\n".join(found["differences"])
    assert "2 of 81 counts" in text and "mIoU: " in text
    assert "1 of 4 pictures" in text and value["pictures"][2]["name"] in text
    assert found["equal"] == ["7 of 8 scores", "counts of borders"]


def test_what_was_measured_otherwise_is_said_by_fingerprints(tmp_path):
    one, _ = evaluation(tmp_path / "one.json")
    stored(tmp_path / "one.json")
    record = read_record(tmp_path / "one.json")
    assert recheck(one, record).unlike == () == recheck(one, record).differences
    for other, subject in (
        (replace(one, weights_sha256="f" * 64), "weights"),
        (replace(one, data_fingerprint="e" * 64, shards={"val-00000.h5": "e" * 64}), "data"),
        (replace(one, precision="bf16"), "bf16"),
        (replace(one, procedure=Procedure(crop=57)), "procedure"),
        (replace(one, split="test"), "test"),
    ):
        (line,) = recheck(other, record).unlike
        assert subject in line and "there" in line and "here" in line
    moved = replace(record, shards={"elsewhere-00000.h5": "d" * 64})  # the same bytes
    assert recheck(one, moved).unlike == ()


def test_a_file_of_fewer_counts_is_no_proof(tmp_path):
    one, _ = evaluation(tmp_path / "one.json")
    stored(tmp_path / "one.json")
    record = replace(read_record(tmp_path / "one.json"), confusion=None, weights_sha256=None)
    found = recheck(one, record)
    assert any("confusion matrix" in text for text in found.differences)
    assert any("not known" in text for text in found.unlike)


def test_the_file_of_another_model_is_refused(tmp_path):
    one, _ = evaluation(tmp_path / "one.json")
    stored(tmp_path / "one.json", class_names=tuple(f"other {n}" for n in range(9)))
    with pytest.raises(PspError, match=r"one\.json.*classes"):
        recheck(one, read_record(tmp_path / "one.json"))


def test_the_file_says_split_procedure_and_weights(journey, psp, tmp_path):
    how = ("--split", "train", "--weights", "last", "--flip", "--scales", "0.5", "--blend", "taper")
    run = journey.folder / "run"
    psp(
        "evaluate",
        run,
        *how,
        "-o",
        tmp_path / "out",
        "--no-report",
        "-q",
        cwd=journey.folder,
        check=0,
    )
    (path,) = (tmp_path / "out").iterdir()
    _, out, err = psp("evaluate", run, "--check", path, cwd=journey.folder, check=0)
    assert "the same as" in out and "there," not in err

"""Stored evaluations are read back as they were, and everything follows from what they hold."""

import json

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.evaluations import evaluation, stored

from psp.errors import PspError
from psp.evaluate.metrics import SCORES, miou_labeled, miou_occurring, scores_of
from psp.evaluate.record import read_record
from psp.evaluate.report import page_of, write_report


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evaluations/val-ss-flip.json"


def test_every_score_follows_from_the_stored_counts(path):
    """With a class that does not occur, so that the three means differ."""
    stored(path, classes=6, absent=1)
    record = read_record(path)
    assert record.confusion is not None and record.borders is not None
    assert dict(record.scores) == scores_of(record.confusion, record.borders)
    assert set(record.scores) == {score.key for score in SCORES}
    assert record.conventions == {
        "all_classes": record.scores["miou"],
        "classes_labeled_or_predicted": miou_occurring(record.confusion),
        "classes_labeled": miou_labeled(record.confusion),
    }
    assert record.scores["miou"] < record.conventions["classes_labeled"]
    assert record.scores["mean_accuracy"] < record.scores["mean_accuracy_labeled"]


def test_a_score_that_the_file_was_written_without_is_computed(path):
    stored(path)
    scores = dict(read_record(path).scores)
    value = json.loads(path.read_text())
    del value["mean_f1"], value["boundary_f"]
    path.write_text(json.dumps(value))
    assert dict(read_record(path).scores) == scores
    del value["borders"]
    path.write_text(json.dumps(value))
    assert read_record(path).scores.keys() == scores.keys() - {"boundary_f"}


def test_a_record_is_what_was_evaluated(path):
    result, _ = evaluation(path, classes=4)
    stored(path, classes=4)
    record = read_record(path)
    assert np.array_equal(record.confusion, result.tally.confusion)
    assert record.how() == result.procedure
    assert [p.name for p in record.pictures] == [p.name for p in result.tally.pictures]
    assert [p.miou for p in record.pictures] == [p.miou for p in result.tally.pictures]
    assert record.procedure_fingerprint == result.to_dict()["procedure_fingerprint"]


def test_a_path_that_is_no_utf_8_can_be_stored_and_shown(tmp_path):
    path = tmp_path / "caf\udce9" / "val-ss.json"
    write_report(path, None, stored(path))
    assert "caf\\udce9" in read_record(path).model
    assert "caf\\udce9" in page_of(path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        (lambda value: value["confusion"].pop(), "confusion"),
        (lambda value: value["confusion"][0].pop(), "confusion"),
        (lambda value: value["confusion"][0].__setitem__(0, -1), "confusion"),
        (lambda value: value["per_class"][0].pop("name"), "name"),
        (lambda value: value["pictures"][0].__setitem__("miou", "high"), "miou"),
        (lambda value: value.pop("per_class"), "psp evaluate"),
        (lambda value: value["procedure"].__setitem__("later", 1), "newer psp"),
        (lambda value: value["procedure"].__setitem__("crop", 40), "procedure"),
    ],
)
def test_a_damaged_record_is_refused_by_its_key(path, change, subject):
    stored(path)
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    with error_naming(PspError, path, subject):
        read_record(path).how()

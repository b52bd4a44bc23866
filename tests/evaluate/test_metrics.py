"""Metrics equal a brute-force count."""

import math

import numpy as np
import pytest
import torch

from psp.evaluate.boundary import boundary_counts
from psp.evaluate.count import count
from psp.evaluate.metrics import (
    SCORES,
    accuracy,
    boundary_f,
    iou,
    mean_boundary_f,
    miou_labeled,
    miou_occurring,
    scores_of,
)
from psp.evaluate.tally import Tally, sum_tallies
from psp.ranks import Share


def brute(targets, predictions, classes):
    """Per-class intersection and union, pixel by pixel."""
    hit, true, predicted = [0] * classes, [0] * classes, [0] * classes
    for t, g in zip(targets, predictions, strict=True):
        if t == 255:
            continue
        true[t] += 1
        predicted[g] += 1
        hit[t] += t == g
    ious = [
        hit[c] / u if (u := true[c] + predicted[c] - hit[c]) else math.nan for c in range(classes)
    ]
    recall = [hit[c] / true[c] if true[c] else math.nan for c in range(classes)]
    return ious, recall, sum(hit) / max(sum(true), 1)


def counted(target, prediction, classes):
    return count(torch.from_numpy(target), torch.from_numpy(prediction), classes).numpy()


def test_scores_equal_a_brute_force_count_on_random_maps(rng):
    for _ in range(200):
        classes = int(rng.integers(1, 8))
        target = rng.choice(np.array([*range(classes), 255], np.uint8), (5, 7))
        prediction = rng.integers(0, classes, (5, 7), dtype=np.uint8)
        confusion = counted(target, prediction, classes)
        scores = scores_of(confusion)
        ious, recall, correct = brute(target.ravel().tolist(), prediction.ravel().tolist(), classes)
        assert np.allclose(iou(confusion), ious, equal_nan=True)
        assert np.allclose(accuracy(confusion), recall, equal_nan=True)
        assert scores["pixel_accuracy"] == pytest.approx(correct)
        # The authors' mean: over all classes, an absent one counts 0.
        assert scores["miou"] == pytest.approx(sum(v for v in ious if v == v) / classes)
        found = [v for v in recall if v == v]
        assert scores["mean_accuracy"] == pytest.approx(sum(found) / classes)
        labeled = sum(found) / max(1, len(found))
        assert scores["mean_accuracy_labeled"] == pytest.approx(labeled)


def textbook(target, prediction, classes):
    """The field's measures by their definitions, with sets of pixels instead of a matrix."""
    scored = target != 255
    true = [set(np.flatnonzero((target == c) & scored)) for c in range(classes)]
    found = [set(np.flatnonzero((prediction == c) & scored)) for c in range(classes)]
    pixels = int(scored.sum())

    def iou(c):
        return len(true[c] & found[c]) / len(true[c] | found[c])

    occurring = [c for c in range(classes) if true[c] | found[c]]
    labeled = [c for c in range(classes) if true[c]]

    def f1(c):
        both = len(true[c] & found[c])
        precision, recall = both / max(1, len(found[c])), both / max(1, len(true[c]))
        return 2 * precision * recall / (precision + recall) if both else 0.0

    return {
        "f1": sum(map(f1, range(classes))) / classes,
        "all": sum(iou(c) for c in occurring) / classes,
        "occurring": sum(map(iou, occurring)) / max(1, len(occurring)),
        "labeled": sum(map(iou, labeled)) / max(1, len(labeled)),
        "accuracy": sum(len(true[c] & found[c]) for c in labeled) / max(1, pixels),
        "weighted": sum(len(true[c]) / pixels * iou(c) for c in labeled),
    }


@pytest.mark.slow
def test_1000_random_maps_against_the_definitions(rng):
    """Whole classes are often missing, in the labels, the prediction or both."""
    for _ in range(1000):
        classes = int(rng.integers(1, 9))
        there = rng.permutation(classes)[: rng.integers(1, classes + 1)]
        target = rng.choice([*there, 255], (6, 7)).astype(np.uint8)
        there = rng.permutation(classes)[: rng.integers(1, classes + 1)]
        prediction = rng.choice(there, (6, 7)).astype(np.uint8)
        confusion = counted(target, prediction, classes)
        scores = scores_of(confusion)
        expected = textbook(target.ravel(), prediction.ravel(), classes)
        assert scores["miou"] == pytest.approx(expected["all"], abs=1e-12)
        assert miou_occurring(confusion) == pytest.approx(expected["occurring"], abs=1e-12)
        assert miou_labeled(confusion) == pytest.approx(expected["labeled"], abs=1e-12)
        assert scores["pixel_accuracy"] == pytest.approx(expected["accuracy"], abs=1e-12)
        assert scores["frequency_weighted_iou"] == pytest.approx(expected["weighted"], abs=1e-12)
        assert scores["mean_f1"] == pytest.approx(expected["f1"], abs=1e-12)
        assert scores["ade_score"] == (scores["miou"] + scores["pixel_accuracy"]) / 2


def test_every_listed_score_is_a_number_in_its_range_for_any_counts(rng):
    """Also where nothing was scored, and where everything is right."""
    empty, perfect = np.zeros((4, 4), np.int64), np.diag([5, 0, 7, 1])
    some = rng.integers(0, 50, (4, 4))
    for confusion in (empty, perfect, some):
        borders = np.stack([confusion.diagonal(), confusion.sum(0)] * 2, axis=1)
        scores = scores_of(confusion, borders)
        assert list(scores) == [score.key for score in SCORES]
        assert all(0 <= value <= 1 for value in scores.values())
    assert len({score.title for score in SCORES}) == len(SCORES)
    assert "boundary_f" not in scores_of(some)  # nobody counted the borders


def test_the_conventions_of_the_field_as_their_owners_compute_them(rng):
    """Written down from each one's formula; they differ where classes are missing."""
    target = rng.choice([0, 1, 2, 255], (40, 40)).astype(np.uint8)
    prediction = rng.choice([0, 1, 3], (40, 40)).astype(np.uint8)
    confusion = counted(target, prediction, 6)
    valid = target != 255
    hit = np.histogram(prediction[valid & (target == prediction)], np.arange(7) - 0.5)[0]
    area_predicted = np.histogram(prediction[valid], np.arange(7) - 0.5)[0]
    area_target = np.histogram(target[valid], np.arange(7) - 0.5)[0]
    union = area_predicted + area_target - hit
    semseg = np.mean(hit / (union + 1e-10))  # and Caffe's eval_acc.m, with eps
    with np.errstate(invalid="ignore"):
        mmseg = np.nanmean(hit / union)
        detectron = np.mean((hit / union)[area_target > 0])
    miou = scores_of(confusion)["miou"]
    assert miou == pytest.approx(semseg, abs=1e-9)
    assert miou_occurring(confusion) == pytest.approx(mmseg, abs=1e-12)
    assert miou_labeled(confusion) == pytest.approx(detectron, abs=1e-12)
    assert miou < miou_occurring(confusion) < miou_labeled(confusion)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7])
def test_any_number_of_ranks_counts_the_same_ragged_or_not(rng, ranks):
    targets = rng.choice([0, 1, 2, 3, 255], (10, 8, 9)).astype(np.uint8)
    predictions = rng.integers(0, 4, (10, 8, 9), dtype=np.uint8)

    def tally(indices):
        found = Tally(4)
        for index in indices:
            counts = counted(targets[index], predictions[index], 4)
            borders = boundary_counts(targets[index], predictions[index], 4)
            found.add(index, f"picture {index}", counts, borders)
        return found

    one = tally(range(10))
    many = sum_tallies([tally(Share(r + 1, ranks).of(range(10))) for r in range(ranks)], 4)
    assert np.array_equal(one.confusion, many.confusion)
    assert np.array_equal(one.borders, many.borders)
    assert np.array_equal(one.images, many.images)
    assert one.pictures == many.pictures


def test_pictures_are_scored_each_and_the_worst_come_first():
    label = np.array([[0, 0, 1, 1]], np.uint8)
    tally = Tally(3)
    for index, prediction in enumerate(([0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 2, 1], [2, 2, 2, 2])):
        prediction = np.array([prediction], np.uint8)
        tally.add(index, str(index), counted(label, prediction, 3), np.zeros((3, 4), int))
    void = np.full((1, 4), 255, np.uint8)
    tally.add(4, "void", counted(void, label, 3), np.zeros((3, 4), int))
    assert [p.name for p in tally.worst(9)] == ["1", "3", "2", "0"]  # a tie: the split's order
    assert [p.miou for p in tally.pictures[:3]] == [1.0, 0.0, (1 + 0.5 + 0) / 3]
    assert math.isnan(tally.pictures[4].miou) and math.isnan(tally.pictures[4].pixel_accuracy)
    assert tally.images.tolist() == [4, 4, 0]


def borders(label, number):
    """The border pixels of a class, one by one."""
    height, width = label.shape
    return [
        (y, x)
        for y in range(height)
        for x in range(width)
        if label[y, x] == number
        and any(
            0 <= v < height and 0 <= u < width and label[v, u] != number
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        )
    ]


def near(points, others, limit):
    return sum(any((y - v) ** 2 + (x - u) ** 2 <= limit for v, u in others) for y, x in points)


def test_the_boundary_f_score_equals_its_definition_pixel_by_pixel(rng):
    for case in range(30):
        height, width = map(int, rng.integers(1, 22, 2))
        coarse = rng.choice([0, 1, 2, 255], (height // 3 + 1, width // 3 + 1))
        target = np.kron(coarse, np.ones((3, 3)))[:height, :width].astype(np.uint8)
        prediction = np.roll(target, int(rng.integers(-2, 3)), axis=case % 2)
        prediction[prediction == 255] = 3
        counts = boundary_counts(target, prediction, 4)
        masked = np.where(target == 255, 255, prediction)
        scores = []
        for number in range(4):
            true, found = borders(target, number), borders(masked, number)
            limit = max(1, (0.0075**2) * (height**2 + width**2))
            hits = near(found, true, limit), near(true, found, limit)
            assert counts[number].tolist() == [hits[0], len(found), hits[1], len(true)]
            precision, recall = hits[0] / max(1, len(found)), hits[1] / max(1, len(true))
            if found or true:
                scores.append(2 * precision * recall / max(1e-12, precision + recall))
        assert mean_boundary_f(counts) == pytest.approx(sum(scores) / max(1, len(scores)))


def test_borders_within_the_tolerance_are_near_and_others_are_not():
    """800x600: the diagonal is 1000, so 7.5 pixels."""
    target = np.zeros((600, 800), np.uint8)
    target[:, 400:] = 1
    for shift, expected in ((0, 1.0), (7, 1.0), (-7, 1.0), (8, 0.0), (50, 0.0)):
        prediction = np.zeros_like(target)
        prediction[:, 400 + shift :] = 1
        assert mean_boundary_f(boundary_counts(target, prediction, 2)) == expected
    assert boundary_counts(target, target, 2)[0].tolist() == [600] * 4


def test_a_wrong_class_has_no_border_in_common():
    target, prediction = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    target[:, 5:], prediction[:, 5:] = 1, 2
    found = boundary_f(boundary_counts(target, prediction, 4))
    assert found[:3].tolist() == [1.0, 0.0, 0.0]
    assert math.isnan(found[3])


def test_counts_add_up_over_pictures(rng):
    target = rng.integers(0, 4, (6, 10, 10), dtype=np.uint8)
    prediction = rng.integers(0, 4, (6, 10, 10), dtype=np.uint8)
    whole = counted(target, prediction, 4)
    parts = [counted(t, g, 4) for t, g in zip(target, prediction, strict=True)]
    assert np.array_equal(whole, sum(parts))
    assert whole[1, 2] == ((target == 1) & (prediction == 2)).sum()


def test_a_perfect_prediction_is_one_and_nothing_scored_is_zero():
    target = np.arange(4, dtype=np.uint8)[None]
    perfect = scores_of(counted(target, target, 4))
    assert set(perfect.values()) == {1.0}
    empty = scores_of(counted(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), 4))
    assert set(empty.values()) == {0.0}


def test_a_class_out_of_range_is_an_error_never_merged_or_dropped():
    """Others count a label equal to the number of classes as the last class, or drop it."""
    good, bad = np.array([[2]], np.uint8), np.array([[3]], np.uint8)
    with pytest.raises(ValueError, match="outside 0..2"):
        counted(bad, good, 3)
    with pytest.raises(ValueError, match="outside 0..2"):
        counted(good, bad, 3)

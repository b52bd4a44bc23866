"""Metrics equal a brute-force count."""

import math

import numpy as np
import pytest
import torch

from psp.metrics import Confusion
from psp.score import count


def brute(truths, guesses, classes):
    """Per-class intersection and union, pixel by pixel."""
    hit, true, guessed = [0] * classes, [0] * classes, [0] * classes
    for t, g in zip(truths, guesses, strict=True):
        if t == 255:
            continue
        true[t] += 1
        guessed[g] += 1
        hit[t] += t == g
    ious = [
        hit[c] / u if (u := true[c] + guessed[c] - hit[c]) else math.nan for c in range(classes)
    ]
    recall = [hit[c] / true[c] if true[c] else math.nan for c in range(classes)]
    return ious, recall, sum(hit) / max(sum(true), 1)


def counted(truth, guess, classes):
    confusion = Confusion(classes)
    confusion.add(count(torch.from_numpy(truth), torch.from_numpy(guess), classes).numpy())
    return confusion


def test_scores_equal_a_brute_force_count_on_random_maps(rng):
    for _ in range(200):
        classes = int(rng.integers(1, 8))
        truth = rng.choice(np.array([*range(classes), 255], np.uint8), (5, 7))
        guess = rng.integers(0, classes, (5, 7), dtype=np.uint8)
        confusion = counted(truth, guess, classes)
        scores = confusion.scores()
        ious, recall, accuracy = brute(truth.ravel().tolist(), guess.ravel().tolist(), classes)
        assert np.allclose(scores.iou, ious, equal_nan=True)
        assert np.allclose(scores.accuracy, recall, equal_nan=True)
        assert scores.pixel_accuracy == pytest.approx(accuracy)
        # The authors' mean: over all classes, an absent one counts 0.
        assert scores.miou == pytest.approx(sum(v for v in ious if v == v) / classes)
        assert scores.mean_accuracy == pytest.approx(sum(v for v in recall if v == v) / classes)


def test_counts_add_up_over_pictures(rng):
    truth = rng.integers(0, 4, (6, 10, 10), dtype=np.uint8)
    guess = rng.integers(0, 4, (6, 10, 10), dtype=np.uint8)
    whole, parts = counted(truth, guess, 4), Confusion(4)
    for t, g in zip(truth, guess, strict=True):
        parts.add(counted(t, g, 4).counts)
    assert np.array_equal(whole.counts, parts.counts)
    assert whole.counts[1, 2] == ((truth == 1) & (guess == 2)).sum()


def test_a_perfect_guess_is_one_and_nothing_scored_is_zero():
    truth = np.arange(4, dtype=np.uint8)[None]
    perfect = counted(truth, truth, 4).scores()
    assert perfect.miou == perfect.pixel_accuracy == 1.0
    empty = counted(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), 4).scores()
    assert empty.miou == empty.pixel_accuracy == 0.0


def test_a_class_out_of_range_is_an_error_never_merged_or_dropped():
    """Others count a label equal to the number of classes as the last class, or drop it."""
    good, bad = np.array([[2]], np.uint8), np.array([[3]], np.uint8)
    with pytest.raises(ValueError, match="outside 0..2"):
        counted(bad, good, 3)
    with pytest.raises(ValueError, match="outside 0..2"):
        counted(good, bad, 3)

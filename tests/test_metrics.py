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


def test_scores_equal_a_brute_force_count_on_random_maps(rng):
    for _ in range(200):
        classes = int(rng.integers(1, 8))
        truth = rng.choice(np.array([*range(classes), 255], np.uint8), (5, 7))
        guess = rng.integers(0, classes, (5, 7), dtype=np.uint8)
        confusion = Confusion(classes)
        confusion.add(truth, guess)
        scores = confusion.scores()
        ious, recall, accuracy = brute(truth.ravel().tolist(), guess.ravel().tolist(), classes)
        assert np.allclose(scores.iou, ious, equal_nan=True)
        assert np.allclose(scores.accuracy, recall, equal_nan=True)
        assert scores.pixel_accuracy == pytest.approx(accuracy)
        # The authors' mean: over all classes, an absent one counts 0.
        assert scores.miou == pytest.approx(sum(v for v in ious if v == v) / classes)
        assert scores.mean_accuracy == pytest.approx(sum(v for v in recall if v == v) / classes)
        on_device = count(torch.from_numpy(truth), torch.from_numpy(guess), classes)
        assert np.array_equal(on_device.numpy().reshape(classes, classes), confusion.counts)


def test_counts_add_up_over_pictures(rng):
    truth = rng.integers(0, 4, (6, 10, 10), dtype=np.uint8)
    guess = rng.integers(0, 4, (6, 10, 10), dtype=np.uint8)
    whole, parts = Confusion(4), Confusion(4)
    whole.add(truth, guess)
    for t, g in zip(truth, guess, strict=True):
        parts.add(t, g)
    assert np.array_equal(whole.counts, parts.counts)


def test_a_perfect_guess_is_one_and_nothing_scored_is_zero():
    truth = np.arange(4, dtype=np.uint8)[None]
    perfect, empty = Confusion(4), Confusion(4)
    perfect.add(truth, truth)
    assert perfect.scores().miou == perfect.scores().pixel_accuracy == 1.0
    empty.add(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))
    assert empty.scores().miou == empty.scores().pixel_accuracy == 0.0


def test_a_class_out_of_range_is_an_error_never_merged_or_dropped():
    """Others count a label equal to the number of classes as the last class, or drop it."""
    good, bad = np.array([[2]], np.uint8), np.array([[3]], np.uint8)
    confusion = Confusion(3)
    for truth, guess in ((bad, good), (good, bad)):
        with pytest.raises(ValueError, match="class 3"):
            confusion.add(truth, guess)
    with pytest.raises(ValueError, match="outside 0..2"):
        count(torch.from_numpy(bad), torch.from_numpy(good), 3)
    assert confusion.counts.sum() == 0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shape"):
        Confusion(3).add(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))

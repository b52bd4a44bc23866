"""Which pictures validate: enough of them, every class in both splits, sequences undivided."""

import itertools

import numpy as np
import pytest

from psp.errors import PspError
from psp.prepare.own.splits import TRAIN, VAL, Candidate, divide


def candidates(names, *classes):
    each = [frozenset(c) for c in classes] or [frozenset()] * len(names)
    return [Candidate(name, held) for name, held in zip(names, each, strict=True)]


def validating(division):
    return {name for name, split in division.splits.items() if split == VAL}


WORDS = ["oak", "elm", "fir", "yew", "ash", "bay", "fig", "gum", "haw", "ivy", "koa", "nut"]


def test_about_the_fraction_validates_and_the_same_again():
    names = [f"{one}{other}" for one in WORDS for other in WORDS]
    first = divide(candidates(names), 0.25, seed=3)
    assert abs(len(validating(first)) - 36) <= 2
    assert divide(candidates(names[::-1]), 0.25, seed=3).splits == first.splits
    assert divide(candidates(names), 0.25, seed=4).splits != first.splits


def test_every_class_is_in_both_splits_where_two_pictures_have_it():
    rng = np.random.default_rng(5)
    for seed in range(20):
        classes = [set(rng.choice(list("abcdef"), size=2)) for _ in WORDS]
        classes[0].add("seldom")
        classes[1].add("seldom")
        division = divide(candidates(WORDS, *classes), 0.3, seed=seed)
        val = validating(division)
        train = set(WORDS) - val
        held = dict(zip(WORDS, classes, strict=True))
        for c in set().union(*classes):
            carriers = [name for name in WORDS if c in held[name]]
            if len(carriers) >= 2:
                assert set(carriers) & train, (seed, c)
        assert 1 <= len(val) <= 2 * round(0.3 * 12)


def test_a_class_of_one_picture_is_trained_on_and_said():
    classes = [{"sky"}] * 11 + [{"sky", "boat"}]
    division = divide(candidates(WORDS, *classes), 0.25)
    assert division.splits["nut"] == TRAIN
    assert any("boat" in remark for remark in division.remarks)


def test_sequences_stay_together():
    names = [f"ride{ride}_{frame:04d}" for ride in "abcdefghij" for frame in range(8)]
    val = validating(divide(candidates(names), 0.2))
    rides = {name[:5] for name in val}
    assert len(val) == 8 * len(rides) and 1 <= len(rides) <= 3


def test_one_long_sequence_is_cut_into_pieces_and_that_is_said():
    names = [f"IMG_{number:04d}" for number in range(100)]
    division = divide(candidates(names), 0.2)
    val = sorted(validating(division))
    assert 15 <= len(val) <= 30
    numbers = [int(name[4:]) for name in val]
    breaks = sum(b - a > 1 for a, b in itertools.pairwise(numbers))
    assert breaks <= 6  # pieces of five following pictures, not single ones
    assert any("pieces" in remark for remark in division.remarks)
    alone = sorted(validating(divide(candidates(names), 0.2, "none")))
    assert sum(int(b[4:]) - int(a[4:]) > 1 for a, b in itertools.pairwise(alone)) > 6


def test_augmented_copies_of_a_picture_stay_together():
    names = [f"{word}_jpg.rf.{copy:032x}" for word in WORDS for copy in range(3)]
    val = validating(divide(candidates(names), 0.25))
    words = {name.split("_")[0] for name in val}
    assert len(val) == 3 * len(words)


def test_groups_by_an_expression():
    names = [f"{word}-{camera}" for word in WORDS[:5] for camera in "lr"]
    division = divide(candidates(names), 0.2, r"^(\w+)-")
    assert {name[:3] for name in validating(division)} == {
        name[:3] for name in validating(division) if f"{name[:3]}-l" in validating(division)
    }
    with pytest.raises(PspError, match="--group-by"):
        divide(candidates(names), 0.2, "-")


@pytest.mark.parametrize(("names", "fraction"), [(["one"], 0.5), (WORDS, 0.0)])
def test_without_validation_all_are_trained_on(names, fraction):
    assert set(divide(candidates(names), fraction).splits.values()) == {TRAIN}

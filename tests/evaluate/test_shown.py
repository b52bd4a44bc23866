"""Which pictures a report shows, and how they are kept."""

import math

import numpy as np
import pytest
from helpers.errors import error_naming

from psp.errors import PspError
from psp.evaluate.shown import Candidates, ShownPicture, load_shown, save_shown
from psp.evaluate.tally import PictureScore
from psp.images.resize import shrunk_labels
from psp.ranks import Share


def scores(values):
    return [PictureScore(n, f"picture {n}", value, value) for n, value in enumerate(values)]


def candidates(pictures, share=None):
    share = share or Share()
    found = Candidates(len(pictures))
    for picture in share.of(pictures):
        found.add(picture, np.full((2, 3), picture.index % 250, np.uint8))
    return found


def chosen(found, pictures):
    return [(why, item.index) for why, item in found.chosen(pictures)]


def test_the_worst_the_middle_and_the_best_are_shown(rng):
    pictures = scores(rng.permutation(40) / 40)
    shown = candidates(pictures).chosen(pictures)
    assert [why for why, _ in shown] == ["worst"] * 4 + ["median"] * 4 + ["best"] * 4
    assert [round(40 * item.miou) for _, item in shown] == [
        *(0, 1, 2, 3),
        *(18, 19, 20, 21),
        *(39, 38, 37, 36),
    ]


@pytest.mark.parametrize("count", range(14))
def test_of_a_few_pictures_each_is_shown_once(rng, count):
    pictures = scores(rng.permutation(count) / 14)
    shown = chosen(candidates(pictures), pictures)
    assert len({index for _, index in shown}) == len(shown) == min(12, count)


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_on_several_ranks_the_same_are_shown_with_the_same_predictions(rng, ranks):
    pictures = scores(rng.integers(0, 9, 500) / 9)  # many ties
    first, *others = (candidates(pictures, Share(r + 1, ranks)) for r in range(ranks))
    first.join(others)
    alone = candidates(pictures)
    assert chosen(first, pictures) == chosen(alone, pictures)
    for _, item in first.chosen(pictures):
        assert item.prediction.tolist() == [[item.index % 250] * 3] * 2


def test_few_label_maps_are_kept_of_many_pictures(rng):
    pictures = scores(rng.random(5000))
    found = candidates(pictures)
    assert len(found.sampled) + len(found.worst) + len(found.best) <= 72
    middle = [item.miou for why, item in found.chosen(pictures) if why == "median"]
    ranks = [sum(p.miou < value for p in pictures) / 5000 for value in middle]
    assert all(0.4 < rank < 0.6 for rank in ranks)


def test_a_picture_without_labels_is_not_shown():
    pictures = scores([0.5, math.nan, 0.25])
    assert {index for _, index in chosen(candidates(pictures), pictures)} == {0, 2}


def test_label_maps_are_shrunk_to_ids_that_were_there(rng):
    label = rng.choice(np.array([3, 77, 255], np.uint8), (700, 1400))
    small = shrunk_labels(label, 640)
    assert small.shape == (320, 640) and set(np.unique(small)) == {3, 77, 255}
    assert np.array_equal(shrunk_labels(label[:10, :20], 640), label[:10, :20])


def test_stored_pictures_are_those_of_their_evaluation(tmp_path):
    pictures = [ShownPicture("a/b", "worst", b"photo", b"target", b"prediction")]
    path, of = tmp_path / "x.pictures.zip", {"weights": "1", "data": None}
    save_shown(path, pictures, of)
    first = path.read_bytes()
    assert load_shown(path, of) == pictures
    assert load_shown(path, {**of, "weights": "2"}) == []
    assert load_shown(tmp_path / "none.zip", of) == []
    save_shown(path, pictures, of)
    assert path.read_bytes() == first
    for damaged in (first[: len(first) // 2], b"", first.replace(b"worst", b"first")):
        path.write_bytes(damaged)
        with error_naming(PspError, path):
            load_shown(path, of)

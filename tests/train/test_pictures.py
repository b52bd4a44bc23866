"""What a run draws of itself: the right pictures, and never the end of a training."""

import numpy as np
import pytest
import torch
from PIL import Image

from psp.data.cardfile import find_card
from psp.data.shards import ShardSplit
from psp.evaluate.count import PredictedSample
from psp.runs import Run
from psp.train.pictures import RunPictures
from psp.train.samples import choose_samples, draw_crops, draw_samples, small_sample


@pytest.fixture
def split(psp, camvid_raw, tmp_path):
    options = ["--allow-incomplete", "--workers", 1]
    psp("prepare", "camvid", camvid_raw, "-o", "shards", *options, check=0)
    return ShardSplit(tmp_path / "shards", "val")


def predicted(split, index):
    label = split.label(index)
    return PredictedSample(index, "here", torch.from_numpy(label), label)


def drawn(split, folder, indices):
    """Draw a validation in which every prediction is right; return what was said."""
    said = []
    pictures = RunPictures(Run(folder), split, 9, said.append)
    for index in indices:
        pictures.keep(predicted(split, index))
    pictures.draw(9, np.eye(len(split.card.names), dtype=np.int64))
    return [event.text for event in said]


@pytest.mark.slow
def test_a_validation_is_drawn_the_same_in_whatever_order_its_pictures_come(split, tmp_path):
    for name, order in (("one", [0, 1, 2]), ("two", [2, 0, 1])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").touch()
        assert drawn(split, tmp_path / name, order) == []
        charts = {path.name for path in (tmp_path / name).glob("*.png")}
        assert charts == {"curves.png", "confusion.png", "per_class.png"}
    one, two = (tmp_path / name / "samples/00000009.jpg" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    with Image.open(one) as picture:
        assert picture.width < 1000


def test_what_cannot_be_drawn_is_said_and_does_not_end_the_training(split, tmp_path):
    """A file where the folder should be, and metrics.jsonl is missing."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/samples").touch()
    said = drawn(split, tmp_path / "run", [0])
    assert "samples" in said[0] and "curves.png" in said[1] and len(said) == 2
    assert all("goes on" in text and "pictures=false" in text for text in said)
    assert (tmp_path / "run/confusion.png").exists()


def test_the_samples_depend_on_the_shards_alone_and_show_many_classes(split):
    chosen = choose_samples(split)
    assert chosen == choose_samples(split) == sorted(set(chosen))
    shown = (split.pixels[chosen, :-1] > 0).any(0)
    assert shown.sum() == (split.pixels[:, :-1] > 0).any(0).sum()


def test_a_panorama_and_a_tiny_picture_fit_the_sheet(split):
    card = split.card
    samples = []
    for height, width in ((3, 900), (500, 2), (1, 1)):
        label = np.zeros((height, width), np.uint8)
        split.image = lambda index, label=label: np.zeros((*label.shape, 3), np.uint8)
        sample = PredictedSample(0, "here", torch.from_numpy(label), label)
        samples.append(small_sample(split, sample))
    height, width = draw_samples(samples, card, 1).shape[:2]
    assert width <= 3 * 400 + 4 * 8 and height < 1000


def test_the_labels_of_a_crop_are_drawn_where_they_are():
    """The right half is of another class: a mirrored mask would color the left half."""
    card = find_card("camvid")
    label = np.zeros((160, 160), np.uint8)
    label[:, 80:] = 1
    page = draw_crops([(np.zeros((160, 160, 3), np.uint8), label)], card).astype(int)
    panel = page[30:190, 8 + 160 + 8 :][:, :160]
    for color, part in ((card.palette[0], panel[:, 20:60]), (card.palette[1], panel[:, 100:140])):
        mean = part.mean((0, 1))
        assert mean @ color > 0.99 * np.linalg.norm(mean) * np.linalg.norm(color)


def test_a_legend_of_many_classes_has_those_that_are_shown():
    card = find_card("ade20k")
    label = np.full((40, 40), 255, np.uint8)
    crop = (np.zeros((40, 40, 3), np.uint8), label)
    few = draw_crops([crop], card).shape[0]
    label[:, :20], label[:, 20:] = 3, 149
    assert draw_crops([crop], card).shape[0] <= few + 30
    label.ravel()[:150] = np.arange(150)
    page = draw_crops([crop], card)
    assert page.shape[0] < 800

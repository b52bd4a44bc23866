"""What is said of data sets that are too small, too uniform, or lack a split."""

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import noise, save_picture

from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.settings.config import train_config
from psp.train.advice import advice, repeat_command
from psp.train.checks import open_splits

CARD = """
name = "few"
layout = "folders"
classes = [{classes}]
ignore_from = [255]
[splits]
{splits}
[folders]
images = "images/{{split}}"
masks = "masks/{{split}}"
"""


@pytest.fixture
def shards(psp, tmp_path, rng):
    """shards(classes, splits) prepares pictures whose lower 31 of 32 rows are of class 0."""

    def make(classes, splits):
        names = [f'{{ name = "c{n}", from = [{n}] }}' for n in range(classes)]
        lines = "\n".join(f"{name} = {{}}" for name in splits)
        (tmp_path / "card.toml").write_text(CARD.format(classes=",".join(names), splits=lines))
        for split, count in splits.items():
            for number in range(count):
                mask = np.zeros((64, 64), np.uint8)
                if classes > 1:
                    mask[0, :32] = 1
                save_picture(tmp_path / f"raw/images/{split}/{number}.png", noise(rng, 64, 64))
                save_picture(tmp_path / f"raw/masks/{split}/{number}.png", mask)
        psp("prepare", "card.toml", "raw", "-o", "shards", check=0)
        return tmp_path / "shards"

    return make


@pytest.mark.slow
def test_three_pictures_are_trained_on_with_a_word(shards):
    data, val_data = open_splits(shards(2, {"train": 2, "val": 1}), train_config())
    assert (len(data), len(val_data)) == (2, 1)
    (few, rare) = advice(data, train_config())
    assert few.startswith("2 pictures to train on")
    assert "c1" in rare and "--set class_weights=median" in rare
    assert len(advice(data, train_config(class_weights="log"))) == 1


def test_a_class_without_pixels_is_named(shards):
    data, _ = open_splits(shards(3, {"train": 2, "val": 1}), train_config())
    assert any("c2" in text and "'train'" in text for text in advice(data, train_config()))


def test_a_single_class_is_refused(shards):
    with error_naming(PspError, "one class", "'c0'", "background"):
        open_splits(shards(1, {"train": 2, "val": 1}), train_config())


def test_without_a_split_to_validate_or_train_on_the_others_are_named(shards):
    only_train = shards(2, {"train": 3})
    with error_naming(PspError, "no split 'val'", "val_split=train", "[splits]"):
        open_splits(only_train, train_config())
    assert open_splits(only_train, train_config(val_split="train"))
    with error_naming(PspError, "no split 'trian'", "'train'"):
        open_splits(only_train, train_config(train_split="trian"))


def test_the_command_that_repeats_names_all_that_is_not_usual(shards):
    data = ShardSplit(shards(2, {"train": 2, "val": 1}), "train")
    text = repeat_command(data, train_config(lr=0.5, bins=(), hours=1.0, flip=0.0), "cpu")
    for part in ("--lr 0.5", "bins=none", "flip=0.0", "--backbone resnet50", "--steps 30000"):
        assert part in text
    assert "hours" not in text and "momentum" not in text

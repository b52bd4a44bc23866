"""Which split a file belongs to, by its name and its folders."""

import json

import pytest
from helpers.exports import read_export
from helpers.trees import noise, save_picture

from psp.annotations.splits import folder_split, folders_split, split_of


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("annotations/instances_val2017.json", "val"),
        ("train/_annotations.coco.json", "train"),
        ("dev/labels.json", "val"),
        ("test2017/a/b.json", "test"),
        ("station/a.json", ""),
    ],
)
def test_the_split_of_an_annotation_file(name, split):
    assert split_of(name) == split


def test_a_folder_is_a_split_if_it_is_the_word_alone():
    assert [folder_split(name) for name in ("Valid", "train_2", "train station")] == [
        "val",
        "train",
        "",
    ]
    assert folders_split("val/train/test.json") == "train"


def test_pictures_of_trains_and_tests_are_in_no_split(tmp_path, rng):
    for name in ("train_1", "test_2"):
        save_picture(tmp_path / f"{name}.jpg", noise(rng, 20, 30))
        ring = [{"x": 1, "y": 1}, {"x": 9, "y": 1}, {"x": 9, "y": 9}]
        record = {
            "version": "2.0",
            "schema_ref": "darwin_json",
            "item": {"name": f"{name}.jpg", "slots": [{"width": 30, "height": 20}]},
            "annotations": [{"name": "train", "polygon": {"paths": [ring]}}],
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    pictures = read_export(tmp_path, "darwin").pictures
    assert [picture.split for picture in pictures] == ["", ""]

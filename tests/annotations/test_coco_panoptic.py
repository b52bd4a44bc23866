"""COCO panoptic: segments by colors of three bytes, void, and masks beside pictures."""

import json

import numpy as np
import pytest
from helpers.exports import compare, first_problem, paint, picture_named, read_export
from PIL import Image

from psp.annotations.records import IGNORED

HEIGHT, WIDTH = 30, 50
SEGMENTS = {3_937_500: 1, 7: 200, 460_551: 1}


@pytest.fixture
def numbers(rng):
    return rng.choice([0, *SEGMENTS], (HEIGHT, WIDTH))


@pytest.fixture
def folder(tmp_path, numbers):
    """A picture a.png whose mask is a.png, too, in another folder."""
    (tmp_path / "images/val").mkdir(parents=True)
    (tmp_path / "annotations/panoptic_val").mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images/val/a.png")
    rgb = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1)
    Image.fromarray(rgb.astype(np.uint8)).save(tmp_path / "annotations/panoptic_val/a.png")
    save(tmp_path)
    return tmp_path


def content():
    segments = [{"id": n, "category_id": c, "iscrowd": 1} for n, c in SEGMENTS.items()]
    return {
        "images": [{"id": 5, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "annotations": [{"image_id": 5, "file_name": "a.png", "segments_info": segments}],
        "categories": [
            {"id": 200, "name": "rug", "isthing": 0, "color": [1, 2, 3]},
            {"id": 1, "name": "person", "isthing": 1},
        ],
    }


def save(folder, **change):
    value = content() | change
    (folder / "annotations/panoptic_val.json").write_text(json.dumps(value))


def read(folder):
    return read_export(folder, "coco-panoptic")


def test_segments_are_read_from_three_bytes(folder, numbers):
    export = read(folder)
    assert export.classes == ("person", "rug") and export.colors == {"rug": (1, 2, 3)}
    picture = picture_named(export, "a")
    assert (picture.image, picture.split) == (folder / "images/val/a.png", "val")
    assert picture.seen == {"person", "rug"}
    label = paint(picture, HEIGHT, WIDTH, export.classes, export.order)
    expected = np.select([numbers == 0, numbers == 7], [IGNORED, 1], 0)
    assert np.array_equal(label, expected)


def test_a_mask_is_never_taken_for_its_missing_picture(folder):
    (folder / "images/val/a.png").unlink()
    assert read(folder).pictures[0].image is None


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ({"id": 0, "category_id": 1}, "id"),
        ({"id": 1 << 24, "category_id": 1}, "id"),
        ({"id": "7", "category_id": 1}, "id"),
        ({"id": 9, "category_id": 3}, "category_id 3"),
        ({"id": 7, "category_id": 1}, "twice"),
        (None, "id"),
    ],
)
def test_a_wrong_segment_is_named(folder, segment, reason):
    value = content()["annotations"]
    value[0]["segments_info"].append(segment)
    save(folder, annotations=value)
    problem = first_problem(read(folder), HEIGHT, WIDTH)
    assert str(folder / "annotations/panoptic_val.json") in problem
    assert "annotations[0]: segments_info[3]" in problem and reason in problem


def test_a_color_without_a_segment_and_a_mask_that_is_not_there(folder):
    value = content()["annotations"]
    del value[0]["segments_info"][0]
    save(folder, annotations=value)
    assert "panoptic_val/a.png" in first_problem(read(folder), HEIGHT, WIDTH)
    save(folder, annotations=[{**content()["annotations"][0], "file_name": "b.png"}])
    assert "'b.png' is not there" in first_problem(read(folder), HEIGHT, WIDTH)
    save(folder, annotations=content()["annotations"] * 2)
    assert "annotations[1]" in first_problem(read(folder), HEIGHT, WIDTH)


@pytest.mark.data
@pytest.mark.parametrize("name", ["panopticapi-sample_data", "datumaro-coco_panoptic"])
def test_real_exports_have_the_official_converters_answers(real_data, name):
    export = read(real_data / "labeling/coco-panoptic" / name)
    folder = real_data / "labeling/expected/coco-panoptic" / name
    found = list(compare(export, folder, ignored=0))
    assert len(found) == 2
    for _, label, answer in found:
        assert np.array_equal(label, answer)

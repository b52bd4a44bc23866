"""COCO files: what is read, by the answers of pycocotools, and what is wrong with one of many."""

import json

import numpy as np
import pytest
from helpers.covers import column_counts, packed
from helpers.exports import compare, first_problem, paint, picture_named, read_export
from PIL import Image

from psp.annotations.records import LARGE_FIRST
from psp.errors import PspError

HEIGHT, WIDTH = 40, 60
SQUARE = [[5.0, 6.0, 25.0, 6.0, 25.0, 36.0, 5.0, 36.0]]


def image(number, name, **more):
    return {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, **more}


def annotation(number, kind, segmentation, **more):
    return {"image_id": number, "category_id": kind, "segmentation": segmentation, **more}


def coco(images, annotations, names=("car", "road")):
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def save(folder, value, name="instances.json"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    for item in value["images"]:
        apart = name.startswith("annotations/")
        place = folder / "images" / item["split"] if apart else path.parent
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(place / item["file_name"])
    return folder


def read(folder):
    return read_export(folder, "coco")


def painted(export, name, **options):
    order = options.get("order", export.order)
    return paint(picture_named(export, name), HEIGHT, WIDTH, export.classes, order)


def test_polygons_and_both_run_lengths(tmp_path, rng):
    mask = rng.random((HEIGHT, WIDTH)) < 0.3
    counts = column_counts(mask)
    for given in (counts, packed(counts)):
        rle = {"size": [HEIGHT, WIDTH], "counts": given}
        big = 900_100_374_545
        value = coco(
            [image(big, "a.jpg")],
            [annotation(big, 0, SQUARE), annotation(big, 1, rle, iscrowd=1, id=big)],
        )
        export = read(save(tmp_path, value))
        expected = np.full((HEIGHT, WIDTH), -1)
        expected[6:36, 5:25] = 0
        expected[mask] = 1
        assert np.array_equal(painted(export, "a"), expected)
        assert export.classes == ("car", "road")
        assert export.pictures[0].size == (WIDTH, HEIGHT)


def test_polygons_equal_those_of_pycocotools(tmp_path, rng):
    reference = pytest.importorskip("pycocotools.mask")
    rings = [rng.uniform((0, 0), (WIDTH, HEIGHT), (7, 2)).ravel().tolist() for _ in range(8)]
    value = coco([image(1, "a.jpg")], [annotation(1, 0, rings[:2]), annotation(1, 1, rings[2:])])
    expected = np.full((HEIGHT, WIDTH), -1)
    for kind, parts in enumerate((rings[:2], rings[2:])):
        merged = reference.merge(reference.frPyObjects(parts, HEIGHT, WIDTH))
        expected[reference.decode(merged) == 1] = kind
    assert np.count_nonzero(painted(read(save(tmp_path, value)), "a") != expected) <= 1


def test_the_order_of_the_file_or_large_first(tmp_path):
    small, large = [[10, 10, 20, 10, 20, 20, 10, 20]], SQUARE
    value = coco([image(1, "a.jpg")], [annotation(1, 0, small), annotation(1, 1, large)])
    export = read(save(tmp_path, value))
    assert (painted(export, "a") == 0).sum() == 0
    assert (painted(export, "a", order=LARGE_FIRST) == 0).sum() == 100


def test_boxes_alone_are_no_masks_and_strangers_are_counted(tmp_path):
    value = coco(
        [image(1, "a.jpg")],
        [
            annotation(1, 0, [], bbox=[1, 2, 3, 4]),
            annotation(1, 0, None),
            annotation(9, 0, SQUARE),
            {"image_id": 1, "category_id": 0},
            annotation(1, 1, SQUARE[0]),  # some tools forget the outer list
        ],
    )
    export = read(save(tmp_path, value))
    assert (painted(export, "a") == 1).sum() == 600
    assert "3 annotations of a box" in export.remarks[0]
    assert "annotations[2]" in export.remarks[1]


def test_ids_may_be_written_as_numbers_or_texts(tmp_path):
    value = coco([image("1", "a.jpg"), image("x", "b.jpg")], [])
    value["annotations"] = [annotation(1.0, "1", [[], *SQUARE]), annotation("x", 0, SQUARE)]
    export = read(save(tmp_path, value))
    assert [shape.label for p in export.pictures for shape in p.drawn] == ["road", "car"]


def test_splits_by_names_with_categories_that_differ(tmp_path):
    train = coco([image(1, "a.jpg", split="train")], [annotation(1, 0, SQUARE)], ("x", "y"))
    val = coco([image(1, "a.jpg", split="val")], [annotation(1, 0, SQUARE)], ("y", "z"))
    save(tmp_path, train, "annotations/instances_train2017.json")
    save(tmp_path, val, "annotations/instances_val2017.json")
    (tmp_path / "images/val").rename(tmp_path / "images/valid")
    export = read(tmp_path)
    assert export.classes == ("x", "y", "z")
    found = {p.split: (p.image, p.drawn[0].label) for p in export.pictures}
    assert found == {
        "train": (tmp_path / "images/train/a.jpg", "x"),
        "val": (tmp_path / "images/valid/a.jpg", "y"),
    }


def test_roboflows_folders_and_its_first_category(tmp_path):
    for split in ("train", "valid", "test"):
        value = coco([image(0, "a_jpg.rf.0f.jpg")], [annotation(0, 2, SQUARE)], ("c", "a", "c"))
        value["categories"][0]["supercategory"] = "none"
        save(tmp_path, value, f"{split}/_annotations.coco.json")
    export = read(tmp_path)
    assert export.classes == ("a", "c")
    assert {p.split: p.image.parent.name for p in export.pictures} == {
        "train": "train", "val": "valid", "test": "test",
    }  # fmt: skip
    value["annotations"].append(annotation(0, 0, SQUARE))
    value["categories"][0]["name"] = "real"
    save(tmp_path, value, "test/_annotations.coco.json")
    assert export.classes != read(tmp_path).classes and "real" in read(tmp_path).classes


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 2, 3, 4]], "2 points"),
        ([[1, 2, 3, 4, 5]], "pairs"),
        ([[1, 2, 3, 4, 5, float("nan")]], "nan"),
        ([[1, 2, 3, 4, 5, 1e20]], "1e+20"),
        ([[1, 2, 3, 4, 5, "6"]], "no number"),
        ([[100, 2, 110, 4, 105, 9]], "outside"),
        ([[1, 2, 3, 4, 5, 900]], "far outside"),
        (["x"], "segmentation|points"),
        ("x", "segmentation"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 5]}, "10 pixels"),
        ({"size": [WIDTH, HEIGHT], "counts": [2400]}, "40x60"),
        ({"size": [HEIGHT, WIDTH], "counts": [-5, 2405]}, "from 0"),
        ({"size": [HEIGHT, WIDTH], "counts": [0, 10**30]}, "run length"),
        ({"size": [HEIGHT, WIDTH]}, "run lengths"),
        ({"counts": [5]}, "size"),
    ],
)
def test_a_wrong_annotation_is_named_and_other_pictures_stay(tmp_path, segmentation, reason):
    good = [annotation(n, 1, SQUARE) for n in (1, 2)]
    value = coco([image(1, "a.jpg"), image(2, "b.jpg")], [*good, annotation(1, 0, segmentation)])
    export = read(save(tmp_path, value))
    problem = first_problem(export, HEIGHT, WIDTH)
    assert str(tmp_path / "instances.json") in problem and "annotations[2]" in problem
    assert any(word in problem for word in reason.split("|"))
    assert (painted(export, "b") == 1).sum() == 600


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"file_name": None}, "images[1]"),
        ({"width": "60"}, "images[1]"),
        ({"height": -1}, "images[1]"),
        ({"id": 1}, "images[1]"),
        ({"file_name": "a.jpg"}, "images[1]"),
    ],
)
def test_a_wrong_picture_is_named(tmp_path, change, named):
    value = coco([image(1, "a.jpg"), image(2, "b.jpg"), image(3, "c.jpg"), image(4, "d.jpg")], [])
    save(tmp_path, value)
    value["images"][1] |= change
    (tmp_path / "instances.json").write_text(json.dumps(value))
    problem = first_problem(read(tmp_path))
    assert str(tmp_path / "instances.json") in problem and named in problem


def test_a_category_that_is_not_listed(tmp_path):
    value = coco([image(1, "a.jpg")], [annotation(1, 7, SQUARE)])
    assert "annotations[0]: its category_id 7" in first_problem(read(save(tmp_path, value)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"categories": [{"id": 1}]}, r"categories\[0\]"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, r"categories\[1\]"),
        ({"categories": None}, "categories"),
        ({"images": {}}, "images"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_whole(tmp_path, change, named):
    save(tmp_path, coco([image(1, "a.jpg")], []))
    value = coco([image(1, "a.jpg")], []) | change
    (tmp_path / "instances.json").write_text(json.dumps(value))
    with pytest.raises(PspError, match=rf"instances\.json: {named}"):
        read(tmp_path)


def test_one_of_two_files_is_broken(tmp_path):
    save(tmp_path, coco([image(1, "a.jpg")], []), "train.json")
    (tmp_path / "val.json").write_text('{"images": [],\n"annotations": [')
    with pytest.raises(PspError, match=r"val\.json.*line 2"):
        read(tmp_path)


def test_two_files_about_the_same_pictures(tmp_path):
    value = coco([image(1, "a.jpg"), image(2, "b.jpg")], [])
    save(tmp_path, value, "one.json")
    save(tmp_path, value, "two.json")
    with pytest.raises(PspError, match=r"one\.json and two\.json"):
        read(tmp_path)
    assert len(read(tmp_path / "one.json").pictures) == 2


def test_captions_and_keypoints_beside_instances_are_left_out(tmp_path):
    value = coco([image(1, "a.jpg")], [annotation(1, 0, SQUARE)])
    save(tmp_path, value, "instances_val.json")
    del value["categories"]
    value["annotations"] = [{"image_id": 1, "caption": "A car."}]
    save(tmp_path, value, "captions_val.json")
    value = coco([image(1, "a.jpg")], [annotation(1, 0, SQUARE, keypoints=[1, 2, 2])])
    save(tmp_path, value, "person_keypoints_val.json")
    export = read(tmp_path)
    assert len(export.pictures) == 1 and not export.pictures[0].problem
    assert "2 files" in export.remarks[0]


@pytest.mark.data
@pytest.mark.parametrize("order", ["file-order", "large-first"])
@pytest.mark.parametrize(
    ("export", "answers"),
    [
        ("datumaro-coco_instances", "datumaro-coco_instances"),
        ("datumaro-coco_stuff", "datumaro-coco_stuff"),
        ("labelformat-instance_segmentation/COCO/instances.json", "labelformat-instances"),
        (
            "labelformat-instance_segmentation/COCO/instances_with_binary_mask.json",
            "labelformat-instances_with_binary_mask",
        ),
        ("panopticapi-detection_format", "panopticapi-detection_format"),
    ],
)
def test_real_exports_have_pycocotools_answers(real_data, export, answers, order):
    folder = real_data / "labeling/expected/coco" / answers / order
    found = list(compare(read(real_data / "labeling/coco" / export), folder, order=order))
    assert found
    for _, label, answer in found:
        assert np.array_equal(label, answer)

"""Ultralytics' data sets: where pictures and labels lie, and how polygons are painted."""

import cv2
import numpy as np
import pytest
from helpers.exports import compare, first_problem, paint, picture_named, read_export
from PIL import Image

from psp.annotations.records import IGNORED
from psp.errors import PspError

HEIGHT, WIDTH = 40, 60
TRIANGLE = [(0.1, 0.1), (0.905, 0.2), (0.3, 0.951)]
SMALL = [(0.3, 0.3), (0.5, 0.3), (0.5, 0.6), (0.3, 0.6)]


def line(kind, ring):
    return " ".join([str(kind), *(f"{value}" for point in ring for value in point)])


def put(path, content=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        Image.fromarray(content).save(path)


@pytest.fixture
def folder(tmp_path):
    put(
        tmp_path / "data.yaml",
        "path: .\ntrain: images/train\nval: images/val\nnames: [car, road]\n",
    )
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        put(tmp_path / f"images/{split}/{name}.jpg")
        put(tmp_path / f"labels/{split}/{name}.txt", line(1, SMALL))
    put(tmp_path / "labels/train/a.txt", f"{line(0, SMALL)}\n{line(1, TRIANGLE)}\n\n")
    return tmp_path


def read(folder):
    return read_export(folder, "ultralytics")


def splits(export):
    return {p.name: p.split for p in export.pictures}


def test_polygons_are_cut_to_pixels_and_small_ones_lie_on_top(folder):
    export = read(folder)
    assert export.classes == ("car", "road")
    assert splits(export) == {"a": "train", "b": "train", "c": "val"}
    expected = np.zeros((HEIGHT, WIDTH), np.int32)
    for value, ring in ((2, TRIANGLE), (1, SMALL)):
        cv2.fillPoly(expected, [(np.array(ring) * (WIDTH, HEIGHT)).astype(np.int32)], value)
    label = paint(picture_named(export, "a"), HEIGHT, WIDTH, export.classes, export.order)
    assert np.array_equal(label, expected - 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train: ../images/train\nval: ../images/val\nnc: 2\n", {"a", "b", "c"}),
        ("path: /home/someone/data\ntrain: images/train\nnc: 2\n", {"a", "b"}),
        ("path: ../datasets/other\ntrain: [images/train, images/val]\nnc: 2\n", {"a", "b", "c"}),
        ("train: lists/train.txt\nnc: 2\n", {"a", "c"}),
        ("train: images\nnc: 2\n", {"a", "b", "c"}),
        ("names:\n  0: x\n  1: y\ntrain: images/train\n", {"a", "b"}),
    ],
)
def test_folders_are_found_where_the_export_was_moved_to(folder, text, expected):
    put(folder / "lists/train.txt", "/old/place/images/train/a.jpg\n./data/images/val/c.jpg\n")
    put(folder / "data.yaml", text)
    for given in (folder, folder / "data.yaml"):
        export = read(given)
        assert set(splits(export)) == expected
        assert all(p.image and p.image.is_file() and len(p.drawn) for p in export.pictures)


def test_an_absolute_path_to_the_folder_itself(folder):
    put(folder / "data.yaml", f"path: {folder}\ntrain: {folder}/images/train\nnc: 2\n")
    assert set(splits(read(folder))) == {"a", "b"}


def test_labels_without_pictures_and_pictures_without_labels(folder):
    (folder / "images/train/b.jpg").unlink()
    (folder / "labels/val/c.txt").unlink()
    export = read(folder)
    found = {p.name: (p.image is None, p.wanted, len(p.drawn)) for p in export.pictures}
    assert found == {"a": (False, "a.jpg", 2), "b": (True, "b", 1), "c": (False, "c.jpg", 0)}
    assert "1 picture without a label file" in export.remarks[0]


def test_boxes_are_no_masks(folder):
    put(folder / "labels/train/a.txt", f"0 0.5 0.5 0.1 0.2\n{line(1, SMALL)}")
    export = read(folder)
    assert len(picture_named(export, "a").drawn) == 1
    assert "1 line of a box" in export.remarks[0] and "a.txt: line 1" in export.remarks[0]


def test_masks_instead_of_polygons(folder, rng):
    mask = rng.choice(np.array([0, 1, 255], np.uint8), (HEIGHT, WIDTH))
    put(folder / "data.yaml", "train: images/train\nmasks_dir: masks\nnames: {0: car, 1: road}\n")
    put(folder / "masks/train/a.png", mask)
    export = read(folder)
    label = paint(picture_named(export, "a"), HEIGHT, WIDTH, export.classes, export.order)
    assert np.array_equal(label, np.where(mask == 255, IGNORED, mask.astype(int)))
    assert "masks/train/b.png" in picture_named(export, "b").problem


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("7 0 0 0 1 1 1", "class 7 "),
        ("0.5 0 0 0 1 1 1", "class 0.5"),
        ("car 0 0 0 1 1 1", "car"),
        ("0 0 0 0 1 1", "pairs"),
        ("0 0.1 0.2", "1 points"),
        ("0", "0 points"),
        ("0 0 0 0 1 nan 1", "nan"),
        ("0 0 0 0 1 1e300 1", "1e+300"),
        ("0 10 10 50 10 50 30", "50 is no part"),
        ("0 1.1 1.1 1.2 1.1 1.2 1.3", "outside"),
        ("\x00", "line 2"),
    ],
)
def test_a_wrong_line_is_named_and_other_pictures_stay(folder, text, reason):
    put(folder / "labels/train/a.txt", f"{line(1, SMALL)}\n{text}\n")
    export = read(folder)
    problem = first_problem(export, HEIGHT, WIDTH)
    assert f"{folder}/labels/train/a.txt" in problem and "line 2" in problem and reason in problem
    assert not picture_named(export, "b").problem


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train: images/train\nnames: [a, b]\nnc: 3\n", "nc"),
        ("train: images/train\nnames:\n  x: a\n", "names"),
        ("train: images/train\nnames:\n", "names"),
        ("train: images/none\nnames: [a, b]\n", "images/none"),
        ("names: [a, b]\npath: .\n", "none of the folders"),
        ("train: {a: b}\nnames: [a, b]\n", "train"),
        ("train: images/train\nnames: [a, b]\nkpt_shape: [17, 3]\n", "keypoints"),
        ("train: images/train\nnames: &x [a, b]\n", "line 2"),
    ],
)
def test_a_data_file_that_cannot_be_read(folder, text, reason):
    put(folder / "data.yaml", text)
    with pytest.raises(PspError, match=reason) as raised:
        read(folder)
    assert str(folder / "data.yaml") in str(raised.value)


def test_two_data_files_and_a_picture_in_two_splits(folder):
    put(folder / "data.yaml", "train: images\nval: images/val\nnames: [car, road]\n")
    export = read(folder)
    assert splits(export) == {"a": "train", "b": "train", "c": "train"}
    assert "1 picture of val" in export.remarks[0]
    put(folder / "other.yaml", "train: images\nval: images/val\nnames: [car, road]\n")
    with pytest.raises(PspError, match=r"data\.yaml and other\.yaml"):
        read(folder)


@pytest.mark.data
def test_the_real_export_has_opencvs_answer(real_data):
    name = "labelformat-instance_segmentation"
    answers = real_data / "labeling/expected/yolo-seg" / name
    found = list(compare(read(real_data / "labeling/yolo-seg" / name), answers, undrawn=4))
    assert len(found) == 2
    for _, label, answer in found:
        assert np.array_equal(label, answer)

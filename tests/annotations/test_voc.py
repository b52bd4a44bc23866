"""Trees of VOC's shape, as CVAT, labelme2voc and people write them."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.exports import compare, paint, painted, picture_named, read_export
from helpers.trees import save_picture
from PIL import Image

from psp.annotations.format import ReadOptions
from psp.annotations.place import Place
from psp.annotations.voc import VOC
from psp.errors import PspError

HEIGHT, WIDTH = 37, 52
LABELMAP = "# label:color_rgb:parts:actions\nroof:7,130,20::\nbackground:0,0,0::\nwall:200,3,3::\n"
COLORS = {0: (0, 0, 0), 1: (7, 130, 20), 2: (200, 3, 3)}
DATA = os.environ.get("PSP_TEST_DATA")


def labels(rng):
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    top, left = int(rng.integers(1, 10)), int(rng.integers(1, 12))
    label[top : top + 15, left : left + 12] = 1
    label[top + 7 : top + 21, left + 20 : left + 33] = 2
    return label


def save_palette(path, label, colors):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.frombytes("P", label.shape[::-1], label.tobytes())
    entries = [colors.get(value, (value, 9, 9)) for value in range(256)]
    picture.putpalette([part for color in entries for part in color])
    picture.save(path)


def tree(folder, rng, save, names=("a", "sub/b", "c d"), photos=True):
    answers = {}
    for name in names:
        answers[name] = labels(rng)
        save(folder / f"SegmentationClass/{name}.png", answers[name])
        if photos:
            image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            save_picture(folder / f"JPEGImages/{name}.jpg", image)
    return answers


def rgb(path, label):
    save_picture(path, np.array([COLORS[value] for value in range(3)], np.uint8)[label])


def shuffled_palette(path, label):
    """Indices that are not the lines of the map: only the colors say what is meant."""
    save_palette(
        path, np.array([9, 4, 0], np.uint8)[label], {9: COLORS[0], 4: COLORS[1], 0: COLORS[2]}
    )


@pytest.mark.parametrize("save", [rgb, shuffled_palette])
def test_cvat_masks_are_looked_up_by_color(tmp_path, rng, save):
    answers = tree(tmp_path, rng, save)
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    listed = tmp_path / "ImageSets/Segmentation/default.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text('a\nsub/b\n"c d"\n')
    export = read_export(tmp_path, "voc")
    assert export.classes == ("roof", "background", "wall")
    assert export.background == "background" and export.colors["wall"] == (200, 3, 3)
    ids = {"background": 0, "roof": 1, "wall": 2}
    for picture in export.pictures:
        answer = answers[picture.name]
        assert picture.image == tmp_path / f"JPEGImages/{picture.name}.jpg"
        assert picture.split == ""
        label = painted(export, picture.name.rsplit("/", 1)[-1], HEIGHT, WIDTH, ids)
        np.testing.assert_array_equal(label, answer)


def test_an_unknown_color_is_an_error_of_its_file(tmp_path, rng):
    answers = tree(tmp_path, rng, rgb)
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    image = np.array([COLORS[value] for value in range(3)], np.uint8)[answers["a"]]
    image[3:9, 40:50] = (1, 2, 3)
    save_picture(tmp_path / "SegmentationClass/a.png", image)
    export = read_export(tmp_path, "voc")
    with error_naming(PspError, "SegmentationClass/a.png", "#010203"):
        paint(picture_named(export, "a"), HEIGHT, WIDTH, export.classes, export.order)
    paint(picture_named(export, "b"), HEIGHT, WIDTH, export.classes, export.order)


def test_masks_without_pictures_are_kept_for_pictures_that_lie_elsewhere(tmp_path, rng):
    tree(tmp_path, rng, rgb, photos=False)
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    export = read_export(tmp_path, "voc")
    assert [p.image for p in export.pictures] == [None] * 3
    assert not any(p.problem for p in export.pictures)


def test_lists_are_splits_and_a_listed_picture_may_have_no_mask(tmp_path, rng):
    tree(tmp_path, rng, lambda path, label: save_palette(path, label, {}), ("a", "b", "c", "spare"))
    save_picture(tmp_path / "JPEGImages/empty.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nempty\n")
    (lists / "val.txt").write_text("/JPEGImages/b.jpg /SegmentationClass/b.png\r\n")
    (lists / "trainval.txt").write_text("a\nb\nc\nnowhere\n")
    export = read_export(tmp_path, "voc")
    splits = {p.name: p.split for p in export.pictures}
    assert splits == {"a": "train", "b": "val", "c": "", "empty": "train", "nowhere": ""}
    assert picture_named(export, "empty").drawn == ()
    assert "trainval.txt" in picture_named(export, "nowhere").problem
    assert any("spare.png" in remark for remark in export.remarks)
    (lists / "val.txt").write_text("a\n")
    with error_naming(PspError, "'a'", "train.txt", "val.txt"):
        VOC.read(Place(tmp_path), ReadOptions())


def test_values_without_names_are_ids_with_255_ignored(tmp_path, rng):
    answers = {}

    def save(path, label):
        label = np.where(label == 2, 17, label).astype(np.uint8)
        label[:2] = 255
        answers[path.stem] = label
        save_palette(path, label, {})

    tree(tmp_path, rng, save)
    export = read_export(tmp_path, "voc")
    assert export.classes == ("background", "class_1", "class_17")
    ids = {"background": 0, "class_1": 1, "class_17": 17}
    for name, answer in answers.items():
        np.testing.assert_array_equal(painted(export, name, HEIGHT, WIDTH, ids), answer)


def test_names_of_labelme2voc_and_a_class_that_never_occurs(tmp_path, rng):
    answers = tree(tmp_path, rng, lambda path, label: save_palette(path, label, {}))
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\nroof\nwall\nnever\n")
    export = read_export(tmp_path, "voc")
    assert export.classes == ("_background_", "roof", "wall", "never")
    assert export.background == "_background_"
    ids = {"_background_": 0, "roof": 1, "wall": 2}
    np.testing.assert_array_equal(painted(export, "a", HEIGHT, WIDTH, ids), answers["a"])


def test_pictures_of_objects_are_never_taken_for_photos(tmp_path, rng, psp):
    answers = tree(tmp_path / "task", rng, rgb, ("a", "b", "c"), photos=False)
    for name, label in answers.items():
        rgb(tmp_path / f"task/SegmentationObject/{name}.png", label)
        image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        save_picture(tmp_path / f"photos/{name}.jpg", image)
    (tmp_path / "task/labelmap.txt").write_text(LABELMAP)
    out = tmp_path / "out"
    _, _, errors = psp("prepare", tmp_path / "task", "-o", out, check=2)
    assert "a.jpg" in errors and "--images" in errors
    psp("prepare", tmp_path / "task", "--images", tmp_path / "photos", "-o", out, check=0)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="PSP_TEST_DATA is not set")
def test_real_exports():
    folder = Path(DATA or "") / "labeling"
    export = read_export(folder / "cvat-mask/2label-voc1.1", "voc")
    answers = list(compare(export, folder / "expected/cvat-mask/2label-voc1.1"))
    assert len(answers) == 1
    for _, label, answer in answers:
        np.testing.assert_array_equal(label, answer)
    export = read_export(folder / "voc/labelformat-pascalvoc", "voc")
    assert [p.name for p in export.pictures] == ["2007_000032", "subdir/2007_000033"]
    ids = {name: number for number, name in enumerate(export.classes)}
    for picture in export.pictures:
        answer = np.array(Image.open(picture.source))
        label = painted(export, Path(picture.name).name, *answer.shape, ids)
        np.testing.assert_array_equal(label, answer)
    export = read_export(folder / "labelme/labelme-semantic_segmentation/data_dataset_voc", "voc")
    assert export.classes[1] == "aeroplane" and export.classes[-1] == "tv/monitor"
    assert {p.image.name for p in export.pictures} == {f"{p.name}.jpg" for p in export.pictures}


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="PSP_TEST_DATA is not set")
def test_vocs_own_files_have_vocs_names(tmp_path):
    """Without a list of names; the same palette on other files is not taken for VOC's classes."""
    source = Path(DATA or "") / "labeling/voc/labelformat-pascalvoc/SegmentationClass"
    for folder, name in (("official", "2007_000032"), ("own", "street")):
        path = tmp_path / folder / f"SegmentationClass/{name}.png"
        path.parent.mkdir(parents=True)
        path.write_bytes((source / "2007_000032.png").read_bytes())
    assert len(read_export(tmp_path / "official", "voc").classes) == 21
    assert read_export(tmp_path / "own", "voc").classes == ("background", "class_1", "class_15")

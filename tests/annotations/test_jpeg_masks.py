"""Masks that somebody saved as JPEG: exact again inside of regions, or refused with the reason."""

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.exports import paint, picture_named
from helpers.trees import save_picture
from PIL import Image

from psp.annotations.masks import read_masks
from psp.errors import PspError

HEIGHT, WIDTH = 120, 171


def tree(folder, rng, colors, quality=90):
    """Photos, and masks of colored rectangles as JPEG; returns the masks as positions."""
    answers = []
    (folder / "masks").mkdir(parents=True)
    for number in range(3):
        save_picture(
            folder / f"images/{number}.png", rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        )
        answer = np.zeros((HEIGHT, WIDTH), np.uint8)
        for value in range(1, len(colors)):
            top, left = int(rng.integers(0, 60)), 3 + int(rng.integers(0, 8)) + 50 * (value - 1)
            answer[top : top + 41, left : left + 37] = value
        Image.fromarray(np.array(colors, np.uint8)[answer]).save(
            folder / f"masks/{number}.jpg", quality=quality, subsampling=0
        )
        answers.append(answer)
    return answers


def inside(answer):
    """Pixels whose neighbors, two to each side, are of their own class."""
    padded = np.pad(answer, 2, mode="edge")
    same = np.ones(answer.shape, bool)
    for down in range(5):
        for right in range(5):
            same &= padded[down : down + HEIGHT, right : right + WIDTH] == answer
    return same


@pytest.mark.parametrize(
    ("colors", "classes"),
    [
        ([0, 255], ("background", "foreground")),
        ([0, 100, 200], ("class_0", "class_100", "class_200")),
        ([0, 128, 255], ("class_0", "class_128", "class_255")),
        (
            [(0, 0, 0), (255, 0, 0), (0, 128, 64), (192, 192, 0)],
            ("color_000000", "color_ff0000", "color_008040", "color_c0c000"),
        ),
    ],
)
def test_clean_colors_snap_back(tmp_path, rng, colors, classes):
    answers = tree(tmp_path, rng, colors)
    export = read_masks(tmp_path / "images", tmp_path / "masks")
    assert set(export.classes) == set(classes)
    for number, answer in enumerate(answers):
        picture = picture_named(export, str(number))
        assert picture.seen == set(classes)
        label = paint(picture, HEIGHT, WIDTH, export.classes, export.order)
        expected = np.array([export.classes.index(name) for name in classes])[answer]
        assert (label == expected)[inside(answer)].all()
        assert (label != expected).mean() < 0.005  # along borders; a third class is none of them
    assert any("JPEG" in remark and "pixels" in remark for remark in export.remarks)


@pytest.mark.parametrize("colors", [[0, 1, 2], [0, 20, 255], [3, 7]])
def test_levels_near_each_other_are_refused(tmp_path, rng, colors):
    tree(tmp_path, rng, colors)
    with error_naming(PspError, "JPEG", ".jpg", "PNG"):
        read_masks(tmp_path / "images", tmp_path / "masks")


def test_small_regions_whose_color_is_not_found_are_refused(tmp_path, rng):
    """They would silently become another class."""
    tree(tmp_path, rng, [(0, 0, 0), (255, 0, 0)])
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[40:80, 20:70] = (255, 0, 0)
    for top in range(4, 110, 9):
        for left in range(90, 160, 9):
            image[top : top + 4, left : left + 4] = (0, 128, 255)
    Image.fromarray(image).save(tmp_path / "masks/1.jpg", quality=95, subsampling=0)
    with error_naming(PspError, "masks/1.jpg", "far", "PNG"):
        read_masks(tmp_path / "images", tmp_path / "masks")


def test_names_by_color_keep_their_order(tmp_path, rng):
    tree(tmp_path, rng, [(0, 0, 0), (250, 2, 0), (0, 128, 64)])
    (tmp_path / "class_dict.csv").write_text(
        "name,r,g,b\nwall,0,128,64\nVoid,0,0,0\nroof,250,2,0\n"
    )
    export = read_masks(tmp_path / "images", tmp_path / "masks")
    assert export.classes == ("wall", "Void", "roof") and export.ignored == {"Void"}
    assert any("class_dict.csv" in remark for remark in export.remarks)

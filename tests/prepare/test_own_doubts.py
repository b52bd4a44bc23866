"""What only the user can decide is asked on a terminal, and refused elsewhere with the options."""

import contextlib
import json
import os
import pty
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers.trees import noise, save_picture

from psp.data.cardfile import read_card
from psp.data.manifest import read_manifest
from psp.data.shards import ShardSplit

NAMES = ("oak", "elm", "fir", "yew")
SIZE = (40, 60)


def mask(*rows):
    """Stripes of these values."""
    return np.repeat(np.array(rows, np.uint8), -(-SIZE[0] // len(rows)))[: SIZE[0], None].repeat(
        SIZE[1], 1
    )


def labelme(path, *boxes):
    """Rectangles (label, top, bottom) over the whole width."""
    shapes = [
        {"label": label, "points": [[0, top], [59, bottom]], "shape_type": "rectangle"}
        for label, top, bottom in boxes
    ]
    record = {"version": "5", "shapes": shapes, "imagePath": f"{path.stem}.jpg", "imageData": None}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**record, "imageWidth": 60, "imageHeight": 40}))


def photos(folder, rng):
    for name in NAMES:
        save_picture(folder / f"{name}.jpg", noise(rng, *SIZE))


def several_formats(root, rng):
    photos(root / "town", rng)
    for name in NAMES:
        labelme(root / f"town/{name}.json", ("tree", 5, 30))
    ring = [0, 5, 60, 5, 60, 30, 0, 30]
    record = {
        "images": [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate(NAMES)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": [ring]} for i in range(4)
        ],
        "categories": [{"id": 1, "name": "house"}],
    }
    (root / "town/instances.json").write_text(json.dumps(record))
    return [root / "town"], [("--format labelme", "tree"), ("--format coco", "house")]


def folders_alike(root, rng):
    for name in NAMES:
        save_picture(root / f"one/{name}.png", mask(0, 1, 2))
        save_picture(root / f"two/{name}.png", mask(3, 1, 4))
    ways = [(f"--images {root}/one", "class_4"), (f"--images {root}/two", "class_2")]
    return [root / "one", root / "two"], ways


def two_kinds_of_masks(root, rng):
    for split in ("train", "val"):
        photos(root / f"town/{split}/images", rng)
        for name in NAMES:
            save_picture(root / f"town/{split}/labels/{name}.png", mask(0, 1, 2))
            colors = np.array([(0, 0, 0), (9, 80, 7), (5, 5, 200)], np.uint8)[mask(0, 1, 2)]
            save_picture(root / f"town/{split}/labels_color/{name}.png", colors)
    ways = [("--masks 'labels/*.png'", "class_2"), ("--masks 'labels_color/*.png'", "color_0505c8")]
    return [root / "town"], ways


def labeled_twice(root, rng):
    photos(root / "one", rng)
    for name in NAMES:
        labelme(root / f"one/{name}.json", ("tree", 5, 30))
    shutil.copytree(root / "one", root / "two")
    labelme(root / "two/elm.json", ("house", 5, 30))
    return [root / "one", root / "two"], [("--twice first", ""), ("--twice last", "house")]


CASES = (several_formats, folders_alike, two_kinds_of_masks, labeled_twice)


@pytest.mark.slow
@pytest.mark.parametrize("make", CASES)
def test_each_option_that_a_refusal_names_settles_it_and_the_card_knows(make, tmp_path, rng, psp):
    sources, ways = make(tmp_path, rng)
    _, _, err = psp("prepare", *sources, "-o", tmp_path / "refused", check=2)
    for number, (way, drawn) in enumerate(ways):
        assert way in err
        folder = tmp_path / f"data{number}"
        psp("prepare", *sources, "-o", folder, *shlex.split(way), check=0)
        counts = sum(ShardSplit(folder, s).pixels.sum(0) for s in read_manifest(folder)["splits"])
        names = read_card(tmp_path / f"data{number}.toml").names
        assert not drawn or counts[names.index(drawn)]
        assert drawn or "house" not in names or not counts[names.index("house")]
        again = tmp_path / f"again{number}"
        psp("prepare", tmp_path / f"data{number}.toml", "-o", again, check=0)
        shards = [f.read_bytes() for f in sorted(folder.glob("*.h5"))]
        assert shards == [f.read_bytes() for f in sorted(again.glob("*.h5"))]


def test_a_mask_option_that_fits_nothing_names_what_is_there(tmp_path, rng, psp):
    (town,), _ = two_kinds_of_masks(tmp_path, rng)
    _, _, err = psp("prepare", town, "--masks", "label/*.png", check=2)
    assert "label/*.png" in err and "labels/*.png" in err
    photos(tmp_path / "lawn", rng)
    labelme(tmp_path / "lawn/oak.json", ("tree", 5, 30))
    _, _, err = psp("prepare", tmp_path / "lawn", "--masks", "labels/*.png", check=2)
    assert "--masks" in err and "labelme" in err


def test_masks_alone_with_the_folder_of_their_photos(tmp_path, rng, psp):
    photos(tmp_path / "photos", rng)
    for name in NAMES:
        save_picture(tmp_path / f"masks/{name}.png", mask(0, 1, 2))
    psp(
        "prepare",
        tmp_path / "masks",
        "--images",
        tmp_path / "photos",
        "-o",
        tmp_path / "o",
        check=0,
    )
    assert len(ShardSplit(tmp_path / "o", "train")) == 3


def test_gaps_between_shapes_are_pointed_out_and_a_background_is_not(tmp_path, rng, psp):
    photos(tmp_path / "lawn", rng)
    for name in NAMES:
        labelme(tmp_path / f"lawn/{name}.json", ("grass", 0, 20), ("sky", 22, 39))
    _, _, err = psp("prepare", tmp_path / "lawn", "-o", tmp_path / "one", check=0)
    assert "--undrawn ignore" in err
    for name in NAMES:
        labelme(tmp_path / f"lawn/{name}.json", ("grass", 0, 20))
    _, _, err = psp("prepare", tmp_path / "lawn", "-o", tmp_path / "two", check=0)
    assert "--undrawn ignore" not in err


@pytest.mark.slow
def test_on_a_terminal_doubts_are_asked_one_after_the_other(tmp_path, rng):
    """Similar names, labels of two exports, gaps: three questions, and a wrong answer first."""
    for folder, label in (("one", "grass"), ("two", "Grass")):
        photos(tmp_path / folder, np.random.default_rng(1))
        for name in NAMES:
            labelme(tmp_path / f"{folder}/{name}.json", (label, 0, 20), ("sky", 22, 39))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "psp", "prepare", "one", "two", "-o", "data/x", "--workers", "1"],
        cwd=tmp_path,
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        os.write(ours, b"7\n1\n1\n2\n")
        shown = b""
        with contextlib.suppress(OSError):  # so a terminal ends
            while data := os.read(ours, 4096):
                shown += data
    assert process.returncode == 0, shown.decode()
    card = (tmp_path / "data/x.toml").read_text()
    assert '["grass", "Grass"]' in card
    assert 'twice = "first"' in card and 'undrawn = "ignore"' in card

"""Odd exports through `psp prepare`: a refusal says what to do, and that leads somewhere."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from helpers.trees import noise, save_picture

from psp.annotations.unread import UNREAD
from psp.data.manifest import read_manifest
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.prepare.own import unpack

NAMES = ("oak", "elm", "fir", "yew")
RING = [[5, 5], [30, 6], [28, 25], [6, 24]]
FAR = [[500, 500], [520, 500], [520, 530]]


def labelme(folder, name, ring=RING):
    shape = {"label": "tree", "points": ring, "shape_type": "polygon"}
    record = {"version": "5", "shapes": [shape], "imagePath": f"{name}.jpg", "imageData": None}
    (folder / f"{name}.json").write_text(json.dumps(record))


@pytest.fixture
def lawn(tmp_path, rng):
    for name in NAMES:
        save_picture(tmp_path / f"lawn/{name}.jpg", noise(rng, 40, 60))
        labelme(tmp_path / "lawn", name)
    return tmp_path / "lawn"


def names_in(folder):
    splits = read_manifest(folder)["splits"]
    return {split: set(ShardSplit(folder, split).names) for split in splits}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["missing", "outside"])
def test_skipping_the_only_picture_to_validate_on_draws_another(lawn, tmp_path, psp, fault):
    psp("prepare", lawn, "-o", tmp_path / "all", check=0)
    (bad,) = names_in(tmp_path / "all")["val"]
    if fault == "missing":
        (lawn / f"{bad}.jpg").unlink()
    else:  # only seen when it is painted
        labelme(lawn, bad, FAR)
    _, _, err = psp("prepare", lawn, "-o", tmp_path / "out", check=2)
    assert f"{bad}.json" in err and "--skip-bad 1" in err
    psp("prepare", lawn, "-o", tmp_path / "out", "--skip-bad", "1", check=0)
    found = names_in(tmp_path / "out")
    assert len(found["val"]) == 1 and found["train"] | found["val"] == {*NAMES} - {bad}


def test_when_all_pictures_are_bad_none_is_skipped(lawn, tmp_path, psp):
    for name in NAMES:
        labelme(lawn, name, FAR)
    psp("prepare", lawn, "-o", tmp_path / "out", "--skip-bad", "9", check=2)


@pytest.mark.parametrize("tool", UNREAD, ids=lambda tool: f"{tool.title[:20]} {tool.suffix}")
def test_exports_of_tools_that_are_not_read_are_called_that(tmp_path, rng, psp, tool):
    save_picture(tmp_path / "town/a.jpg", noise(rng, 20, 30))
    name = f"export.{tool.suffix.strip('.')}"
    (tmp_path / "town" / name).write_text("\n".join(tool.words))
    if tool.spoils_masks:
        save_picture(tmp_path / "town/a_mask.png", np.eye(20, 30, dtype=np.uint8))
    _, _, err = psp("prepare", tmp_path / "town", check=2)
    assert name in err and tool.title in err and tool.instead in err


def test_a_folder_of_zips_is_answered_with_the_command(tmp_path, psp):
    (tmp_path / "jobs").mkdir()
    for number in (1, 2):
        with zipfile.ZipFile(tmp_path / f"jobs/job {number}.zip", "w") as archive:
            archive.writestr("annotations.xml", "<annotations/>")
    _, _, err = psp("prepare", tmp_path / "jobs", check=2)
    assert f"psp prepare '{tmp_path}/jobs/job 1.zip' '{tmp_path}/jobs/job 2.zip'" in err


def test_labels_of_yolo_without_a_data_file_are_answered_with_what_to_write(tmp_path, rng, psp):
    save_picture(tmp_path / "town/images/a.jpg", noise(rng, 20, 30))
    (tmp_path / "town/labels").mkdir()
    (tmp_path / "town/labels/a.txt").write_text("0 0.1 0.1 0.9 0.2 0.5 0.8\n")
    _, _, err = psp("prepare", tmp_path / "town", check=2)
    assert "labels/a.txt" in err and "data.yaml" in err


def test_what_another_export_uses_is_not_left_out(lawn, tmp_path, psp):
    for folder, names in (("one", NAMES[:2]), ("two", NAMES[2:])):
        (tmp_path / folder).mkdir()
        for name in names:
            shutil.move(lawn / f"{name}.json", tmp_path / folder)
    sources = (tmp_path / "one", tmp_path / "two", "--images", lawn)
    _, _, err = psp("prepare", *sources, check=0)
    assert "left out" not in err


def test_a_zip_that_unpacks_to_more_than_any_export_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "BOMB_BYTES", 1 << 20)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", bytes(1 << 22))
    with pytest.raises(PspError, match=r"a\.zip.*unpack it yourself"):
        unpack.unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cityscapes_polygons_leave_nothing_undrawn(tmp_path, rng, psp):
    for name in NAMES:
        save_picture(tmp_path / f"city/leftImg8bit/{name}_leftImg8bit.png", noise(rng, 40, 60))
        record = {"imgHeight": 40, "imgWidth": 60, "objects": [{"label": "road", "polygon": RING}]}
        (tmp_path / "city/gtFine").mkdir(exist_ok=True)
        path = tmp_path / f"city/gtFine/{name}_gtFine_polygons.json"
        path.write_text(json.dumps(record))
    psp("prepare", tmp_path / "city", "-o", tmp_path / "out", check=0)
    card = read_manifest(tmp_path / "out")["card"]
    assert [entry["name"] for entry in card["classes"]] == ["road"]


def test_two_photos_of_one_roboflow_mask_are_refused_and_0_needs_no_name(tmp_path, rng, psp):
    folder = tmp_path / "rf/train"
    for name in NAMES:
        save_picture(folder / f"{name}_jpg.rf.1.jpg", noise(rng, 40, 60))
        mask = np.zeros((40, 60), np.uint8)
        mask[5:20, 5:30] = 1
        save_picture(folder / f"{name}_jpg.rf.1_mask.png", mask)
    (folder / "_classes.csv").write_text("Pixel Value, Class\r\n1, tree\r\n\r\n")
    psp("prepare", tmp_path / "rf", "-o", tmp_path / "out", check=0)
    card = read_manifest(tmp_path / "out")["card"]
    assert [entry["name"] for entry in card["classes"]] == ["background", "tree"]
    save_picture(folder / "oak_jpg.rf.1.png", noise(rng, 40, 60))
    _, _, err = psp("prepare", tmp_path / "rf", "-o", tmp_path / "two", check=2)
    assert "oak_jpg.rf.1.jpg" in err and "oak_jpg.rf.1.png" in err

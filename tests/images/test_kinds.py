"""Every file of a folder is read, or counted by kind in one line; litter alone is not."""

import io
import json

import numpy as np
import pytest
from helpers.trees import save_picture, town_card
from PIL import Image

from psp.images.kinds import LeftOut, sort_files
from psp.images.reading import SUFFIXES
from psp.predict.inputs import find_pictures

CARD = town_card(classes=2)
LITTER = [".DS_Store", "Thumbs.db", "desktop.ini", "._p0.jpg", ".hidden.jpg", ".cache/p.jpg"]
LITTER += ["__MACOSX/._p0.jpg", "@eaDir/p0.jpg"]
# A file's name, the words of its line, and whether pictures are missing without it.
OTHERS = {
    "x.cr2": ("1 .cr2 (camera raw", True),
    "x.DNG": ("1 .dng (camera raw", True),
    "x.raf": ("1 .raf (camera raw", True),
    "x.jxl": ("1 .jxl (JPEG XL", True),
    "x.psb": ("1 .psb (picture", True),
    "x.svg": ("1 .svg (drawing", True),
    "x.mp4": ("ffmpeg", True),
    "x.MOV": ("1 .mov (video", True),
    "x.insv": ("1 .insv (video", True),
    "x.zip": ("1 .zip (archive: unpack", False),
    "x.tar": ("1 .tar (archive", False),
    "x.pdf": ("1 .pdf (document", False),
    "README.txt": ("1 .txt (other file", False),
    "x.json": ("1 .json (other file", False),
    "LICENSE": ("1 without suffix (other file", False),
}


def jpeg():
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (9, 99, 199)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path, rng):
    """Four photos with masks, litter in both folders."""
    for number in range(4):
        save_picture(
            tmp_path / f"raw/photos/p{number}.png", rng.integers(0, 256, (30, 40, 3), "u1")
        )
        save_picture(tmp_path / f"raw/masks/p{number}.png", rng.integers(0, 2, (30, 40), "u1"))
    for name in LITTER:
        for folder in ("photos", "masks"):
            path = tmp_path / "raw" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg())
    (tmp_path / "town.toml").write_text(CARD)
    return tmp_path / "raw/photos"


def test_litter_is_not_worth_a_word(photos, psp):
    left_out = LeftOut()
    assert set(find_pictures([photos], left_out=left_out)) == {"p0", "p1", "p2", "p3"}
    assert str(left_out) == ""
    _, _, err = psp("prepare", "town.toml", "raw", "-o", "data", check=0)
    assert "not used" not in err


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_used_is_counted_by_kind(tmp_path, name):
    for path in ("p0.png", "p1.png", "more/" + name):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"some text or other")
    words, missing = OTHERS[name]
    left_out = LeftOut()
    assert set(find_pictures([tmp_path], left_out=left_out)) == {"p0", "p1"}
    assert words in str(left_out) and "\n" not in str(left_out)
    assert bool(left_out.pictures) == missing


@pytest.mark.parametrize("name", ["x.DNG", "x.mp4", "x.zip", "LICENSE"])
def test_prepare_says_once_what_is_not_used_and_says_it_again(photos, psp, name):
    (photos / "more").mkdir()
    (photos / "more" / name).write_bytes(b"some text or other")
    words, missing = OTHERS[name]
    code, _, err = psp("prepare", "town.toml", "raw", "-o", "data")
    assert words in err and code == (3 if missing else 0)
    assert sum(words in line for line in err.splitlines()) == 1  # though two splits share it
    code, _, err = psp("prepare", "town.toml", "raw", "-o", "data")  # it is there already
    assert words in err and code == (3 if missing else 0)
    assert any(words in remark for remark in json.loads(
        (photos.parents[1] / "data/audit.json").read_text()
    )["remarks"])  # fmt: skip


def test_masks_are_counted_too(photos, psp):
    (photos.parent / "masks/x.svg").write_text("<svg/>")
    _, _, err = psp("prepare", "town.toml", "raw", "-o", "data", check=3)
    assert "masks: not used: 1 .svg" in err


def test_names_are_no_obstacle_where_the_bytes_are_a_pictures(photos, psp):
    """Without a suffix it is read; with one that says something else it is named."""
    (photos / "p9").write_bytes(jpeg())
    save_picture(photos.parent / "masks/p9.png", np.zeros((30, 40), "u1"))
    (photos / "p8.bak").write_bytes(jpeg())
    left_out = LeftOut()
    assert set(find_pictures([photos], left_out=left_out)) == {"p0", "p1", "p2", "p3", "p9"}
    assert "1 .bak (picture without its usual suffix: rename" in str(left_out)
    assert left_out.pictures == {".bak": 1}
    _, out, err = psp("prepare", "town.toml", "raw", "-o", "data", "--json", check=3)
    assert sum(split["images"] for split in json.loads(out)["splits"].values()) == 5
    assert "1 .bak (picture" in err


def test_what_stands_beside_a_picture_of_the_same_name_is_the_same_photo(photos):
    for name in ("p0.NEF", "p1.mov", "p2.jxl", "p2.xmp"):
        (photos / name).write_bytes(b"x")
    left_out = LeftOut()
    find_pictures([photos], left_out=left_out)
    assert left_out.pictures == {}
    assert "1 .jxl and 1 .mov and 1 .nef beside a picture of the same name" in str(left_out)
    assert "1 .xmp (other file)" in str(left_out)


def test_strange_names_bring_no_strange_signs_into_the_line(tmp_path):
    files = [tmp_path / "a.\x1b[31m", tmp_path / "b.new\nline", tmp_path / f"c.{'x' * 99}"]
    for path in files:
        path.write_bytes(b"x")
    left_out = LeftOut()
    assert list(sort_files(files, SUFFIXES, left_out)) == []
    assert str(left_out) == "not used: 3 of other names (other file)"


def test_an_endless_file_is_not_looked_into(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    left_out = LeftOut()
    assert list(sort_files(sorted(tmp_path.iterdir()), SUFFIXES, left_out)) == []


@pytest.mark.slow
def test_predict_ends_with_3_where_pictures_are_left_out(photos, psp, journey):
    run = journey.folder / "run"
    (photos / "README.txt").write_text("x")
    _, _, err = psp("predict", "raw/photos", "-m", run, "-o", "one", check=0)
    assert "1 .txt (other file)" in err
    (photos / "x.mp4").write_bytes(b"x")
    _, out, err = psp("predict", "raw/photos", "-m", run, "-o", "two", "--json", check=3)
    assert "psp predict VIDEO" in err and json.loads(out)["unread"] == {".mp4": 1}

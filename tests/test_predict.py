"""psp predict: a label map of exactly the picture's size for every picture, whatever its name."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from psp.errors import PspError
from psp.predict import default_out, find_pictures


def save(path, size=(50, 40), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    save(folder / "a.jpg", (50, 40))
    save(folder / "a.png", (60, 41))
    save(folder / "b.c.jpg", (1, 1))
    save(folder / "sub/a.jpg", (130, 97))
    save(folder / "Straße 7.png", (45, 45))
    Image.new("L", (33, 44)).save(folder / "gray.png")
    Image.new("RGBA", (33, 44)).save(folder / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "turned.jpg", (60, 20), exif=exif)
    return folder


EXPECTED = {
    "a.jpg": (50, 40), "a.png": (60, 41), "b.c": (1, 1), "sub/a": (130, 97), "Straße 7": (45, 45),
    "gray": (33, 44), "alpha": (33, 44), "turned": (20, 60),
}  # fmt: skip


def test_every_picture_gets_a_map_of_its_size_and_no_two_collide(journey, psp, photos):
    _, out, err = psp("predict", photos, "-m", journey.folder / "run", check=0)
    result = photos.with_name("photos-parsed")
    assert Path(out.strip()) == result
    maps = {
        str(p.relative_to(result / "labels").with_suffix("")): Image.open(p)
        for p in (result / "labels").rglob("*.png")
    }
    assert {name: picture.size for name, picture in maps.items()} == EXPECTED
    for picture in maps.values():
        assert picture.mode == "P"
        assert np.array(picture).max() < 9
        assert picture.getpalette()[:3] == [30, 250, 64]  # the card's first color
    overlays = {
        str(p.relative_to(result / "overlays").with_suffix("")): Image.open(p).size
        for p in (result / "overlays").rglob("*.jpg")
    }
    assert overlays == EXPECTED
    assert Image.open(result / "legend.png").size[0] > 100
    assert "8 pictures parsed" in err


def test_a_picture_gets_the_same_map_alone_and_among_others(journey, psp, photos):
    psp("predict", photos, "-m", journey.folder / "run", "-o", "all", check=0)
    psp("predict", photos / "sub/a.jpg", "-m", journey.folder / "run", "-o", "one", check=0)
    folder = photos.parent
    assert (folder / "all/labels/sub/a.png").read_bytes() == (
        folder / "one/labels/a.png"
    ).read_bytes()


def test_broken_pictures_are_listed_the_rest_is_done_exit_3(journey, psp, photos):
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:300])
    (photos / "page.jpg").write_text("<html>")
    code, out, err = psp("predict", photos, "-m", journey.folder / "run", "--json")
    assert code == 3
    record = json.loads(out)
    assert {entry["name"] for entry in record["failed"]} == {"broken", "page"}
    assert len(record["parsed"]) == 8
    assert "broken.png: broken picture" in err and "page.jpg: not a picture" in err
    assert not (photos.with_name("photos-parsed") / "labels/broken.png").exists()


def test_nothing_but_broken_pictures_is_exit_2_and_leaves_nothing(journey, psp, tmp_path):
    for name in ("photo.jpg", "other.png"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff")
    code, _, err = psp("predict", "photo.jpg", "-m", journey.folder / "run")
    assert code == 2
    assert err.startswith("error: photo.jpg: not a picture (it starts with")
    assert len(err.splitlines()) == 1
    code, _, err = psp("predict", ".", "-m", journey.folder / "run", "-o", "out")
    assert code == 2
    assert "none of the 2 pictures could be read" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.png", "photo.jpg"]


def test_without_a_model_the_newest_run_is_taken_and_named(journey, psp, photos, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(journey.folder / "run")
    _, _, err = psp("predict", photos / "a.jpg", check=0)
    assert "model: runs/mine, the newest run" in err


def test_an_existing_default_folder_is_kept_and_an_explicit_one_refused(journey, psp, photos):
    run = journey.folder / "run"
    one = photos / "a.jpg"
    outs = [Path(psp("predict", one, "-m", run, check=0)[1].strip()).name for _ in range(2)]
    assert outs == ["a-parsed", "a-parsed-2"]
    code, _, err = psp("predict", one, "-m", run, "-o", photos / "a-parsed")
    assert code == 2 and "--overwrite" in err
    psp("predict", one, "-m", run, "-o", photos / "a-parsed", "--overwrite", check=0)


def test_output_inside_the_input_is_not_parsed_again(journey, psp, photos):
    run = journey.folder / "run"
    psp("predict", photos, "-m", run, "-o", photos / "out", check=0)
    _, _, err = psp("predict", photos, "-m", run, "-o", photos / "out", "--overwrite", check=0)
    assert "8 pictures parsed" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["empty"], "empty: no pictures in this folder"),
        (["photos"], "no trained run under runs/ here. Name one with -m MODEL"),
        (["photos", "-m", "runs/x"], "no such run or weights file"),
        (["photos", "-m", "photos/a.jpg"], "damaged, or no weights file"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(psp, photos, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    code, out, err = psp("predict", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "photos-parsed").exists()


def test_what_psp_wrote_is_not_taken_for_pictures(journey, psp, photos):
    psp("predict", photos / "gray.png", "-m", journey.folder / "run", check=0)
    assert (photos / "gray-parsed/legend.png").exists()
    assert len(find_pictures([photos])) == 8


def test_names_are_unique_whatever_the_suffixes(tmp_path):
    for name in ("a.jpg", "a.png", "a.jpg.bmp", "b.jpg", "c/b.jpg"):
        save(tmp_path / name)
    found = find_pictures([tmp_path])
    assert set(found) == {"a.jpg", "a.png", "a.jpg.bmp", "b", "c/b"}
    (tmp_path / "._a.jpg").write_bytes(b"macOS")
    assert set(find_pictures([tmp_path])) == set(found)
    beside = find_pictures([tmp_path / "c/../a.jpg", tmp_path / "c/b.jpg"])
    assert set(beside) == {"a", "c/b"}  # no name leads out of the output
    files = find_pictures([tmp_path / "b.jpg", tmp_path / "c/b.jpg"])
    assert set(files) == {"b", "c/b"}
    with pytest.raises(PspError, match="no such file"):
        find_pictures([tmp_path / "zzz"])


def test_default_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    save(tmp_path / "x.jpg")
    assert default_out([Path("photos")]) == Path("photos-parsed")
    assert default_out([Path("x.jpg")]) == Path("x-parsed")
    assert default_out([Path("x.jpg"), Path("photos")]) == Path("parsed")
    monkeypatch.chdir(tmp_path / "photos")
    assert default_out([Path()]) == tmp_path / "photos-parsed"

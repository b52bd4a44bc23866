"""How overlays are drawn, and `-o result.png`, which is one."""

import json
import shutil

import numpy as np
import pytest
from helpers.photos import save, tree
from PIL import Image

import psp as package
from psp.images.encoding import encode_jpeg
from psp.render import OverlayStyle, draw


@pytest.fixture
def photo(tmp_path):
    return save(tmp_path / "photo.png", (64, 48)) or tmp_path / "photo.png"


def drawn(run, photo, *style):
    """What psp should draw over the photo."""
    predictor = package.load(run, "cpu", "fp32")
    image = np.asarray(Image.open(photo))
    return draw(image, predictor(photo), predictor.palette, OverlayStyle(*style))


def test_a_file_as_output_is_the_overlay_alone(journey, psp, photo, tmp_path):
    run = journey.folder / "run"
    call = ("predict", "photo.png", "-m", run, "--precision", "fp32")
    _, out, err = psp(*call, "-o", "result.png", check=0)
    assert out.strip() == "result.png" and "result.png" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png", "result.png"]
    assert np.array_equal(Image.open("result.png"), drawn(run, photo))
    style = ("--overlay-style", "side-by-side", "--overlay-strength", "0.8")
    _, out, _ = psp(*call, "-o", "b/result.JPG", "--json", *style, check=0)
    assert json.loads(out)["out"] == "b/result.JPG"
    expected = drawn(run, photo, "side-by-side", 0.8)
    assert expected.shape == (48, 128, 3)
    assert (tmp_path / "b/result.JPG").read_bytes() == encode_jpeg(expected)
    err = psp(*call, "-o", "result.png", "--flip", check=2)[2]
    assert "result.png: " in err and "--overwrite" in err
    psp(*call, "-o", "result.png", "--overwrite", *style, check=0)
    assert np.array_equal(Image.open("result.png"), expected)


@pytest.mark.parametrize(
    ("arguments", "subject", "remedy"),
    [
        (["photo.png", "other.png"], "result.png", "-o result"),
        (["folder"], "result.png", "photo.jpg"),
        (["photo.png", "--write", "labels"], "--write", "-o result"),
        (["photo.png", "--part", "1/2"], "--part", "-o result"),
        (["photo.png", "--probabilities"], "--probabilities", "-o result"),
        (["photo.png", "-o", "result.webp"], "result.webp", ".png"),
        (["photo.png", "-o", "photo.png", "--overwrite"], "photo.png", "another -o"),
    ],
)
def test_an_output_file_that_is_unclear_is_one_line(
    journey, psp, photo, tmp_path, arguments, subject, remedy
):
    save(tmp_path / "folder/a.png")
    shutil.copy(photo, tmp_path / "other.png")
    before = tree(tmp_path)
    arguments = arguments if "-o" in arguments else [*arguments, "-o", "result.png"]
    code, out, err = psp("predict", *arguments, "-m", journey.folder / "run")
    assert (code, out) == (2, "") and len(err.splitlines()) == 1
    assert subject in err and remedy in err
    assert tree(tmp_path) == before


def test_an_existing_folder_of_such_a_name_is_a_folder(journey, psp, photo, tmp_path):
    (tmp_path / "old.png").mkdir()
    psp("predict", "photo.png", "-m", journey.folder / "run", "-o", "old.png", check=0)
    assert (tmp_path / "old.png/labels/photo.png").exists()


def test_overlays_of_two_styles_never_mix_in_a_folder(journey, psp, photo, tmp_path):
    run = journey.folder / "run"
    call = ("predict", "photo.png", "-m", run, "-o", "out", "--precision", "fp32")
    psp(*call, "--overlay-style", "outline", "--blend", "uniform", check=0)
    before = tree(tmp_path / "out")
    for other in ([], ["--overlay-style", "outline", "--overlay-strength", "0.5"]):
        code, _, err = psp(*call, *other)
        assert code == 2 and "overlay outline,1.0, now" in err and len(err.splitlines()) == 1
    assert tree(tmp_path / "out") == before
    psp(*call, "--write", "npy", check=0)  # draws nothing, so it may go on
    labels = np.load(tmp_path / "out/npy/photo.npy")
    assert np.array_equal(labels, Image.open(tmp_path / "out/labels/photo.png"))
    out = psp(*call, "--overlay-style", "outline", "--json", check=0)[1]  # with the folder's blend
    assert json.loads(out)["skipped"] == ["photo"]


def test_a_style_without_overlays_is_one_line(journey, psp, photo):
    call = ("predict", "photo.png", "-m", journey.folder / "run", "--write", "labels")
    for more in (["--overlay-style", "tint"], ["--overlay-strength", "0.2"]):
        err = psp(*call, *more, check=2)[2]
        assert more[0] in err and "--write" in err

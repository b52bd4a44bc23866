"""What is worth saying of files that are read is counted and said, by prepare as by predict."""

import json

import numpy as np
import pytest
from helpers import picture_files as files
from helpers.picture_files import saved
from helpers.trees import save_picture
from PIL import Image

from psp.images.pictures import check_image, decode_image
from psp.images.remarks import NO_END, SEVERAL, TRANSPARENT
from psp.predict.photos import decode_photo

DEEP = "pictures of 16 bits a color use 12: white is 4095"
CARD = """
name = "town"
title = "Town"
layout = "folders"
classes = [{ name = "grass", color = "#010203", from = [0] }]
[folders]
images = "photos"
masks = "masks"
[splits]
train = { fraction = 1.0 }
"""


def photos(rng):
    """Name, file, and what is to be said of it."""
    pixels = rng.integers(0, 256, (30, 40, 3)).astype("u1")
    picture, other = Image.fromarray(pixels), Image.fromarray(255 - pixels)
    alpha = picture.convert("RGBA")
    opaque = saved(alpha)
    alpha.putpixel((3, 4), (1, 2, 3, 0))
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE)
    deep = rng.integers(0, 4096, (30, 40, 3))
    deep[0, 0] = 4095
    two = {"save_all": True, "append_images": [other]}
    return {
        "plain.png": (saved(picture), []),
        "opaque.png": (opaque, []),
        "alpha.png": (saved(alpha), [TRANSPARENT]),
        "alpha.webp": (saved(alpha, "WEBP", lossless=True), [TRANSPARENT]),
        "key.png": (saved(palette, transparency=palette.getpixel((0, 0))), [TRANSPARENT]),
        "animated.gif": (saved(palette, "GIF", **two), [SEVERAL]),
        "animated.webp": (saved(picture, "WEBP", **two), [SEVERAL]),
        "animated.apng": (saved(picture, "PNG", **two), [SEVERAL]),
        "pages.tif": (saved(picture, "TIFF", **two), [SEVERAL]),
        "phone.jpg": (saved(picture, "MPO", **two), []),
        "cut.jpg": (saved(picture, "JPEG")[:-2], [NO_END]),
        "cut.png": (saved(picture)[:-12], [NO_END]),
        "deep.png": (files.png(deep, files.RGB, 16), [DEEP]),
        "gray.png": (files.png(deep[..., :1], files.GRAY, 16), [DEEP]),
        "gray.tif": (files.tiff([deep[..., :1] // 8], 16, 1, tags={281: [4095]}), [DEEP]),
        "all.png": (files.png(deep * 16, files.RGB, 16), []),
        "film.jpg": (saved(picture, "JPEG") + b"\0\0\0\x18ftypmp42" + bytes(99), []),
    }


def test_each_way_of_reading_says_the_same(rng):
    for name, (data, expected) in photos(rng).items():
        for read in (
            check_image,
            decode_photo,
            lambda d, n, notes: decode_image(d, n, notes=notes),
        ):
            notes = []
            read(data, name, notes)
            assert notes == expected, name


@pytest.fixture
def folder(tmp_path, rng):
    for name, (data, _) in photos(rng).items():
        path = tmp_path / "raw/photos" / name.replace(".", "-", 1)
        path = path.with_name(f"{path.name}.{name.rpartition('.')[2]}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        save_picture(tmp_path / f"raw/masks/{path.stem}.png", np.zeros((30, 40), "u1"))
    (tmp_path / "town.toml").write_text(CARD)
    return tmp_path / "raw/photos"


@pytest.mark.parametrize("options", [[], ["--store", "raw"]])
def test_prepare_counts_them(folder, psp, options):
    _, _, err = psp("prepare", "town.toml", "raw", "-o", "data", *options, check=0)
    for count, text in ((2, NO_END), (4, SEVERAL), (3, TRANSPARENT), (3, DEEP)):
        assert f"{count} {text}" in err


@pytest.mark.slow
def test_predict_counts_them(folder, psp, journey):
    run = journey.folder / "run"
    _, out, err = psp("predict", folder, "-m", run, "-o", "out", "--json", check=0)
    assert json.loads(out)["remarks"] == {NO_END: 2, SEVERAL: 4, TRANSPARENT: 3, DEEP: 3}
    assert f"4 {SEVERAL}" in err

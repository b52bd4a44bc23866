"""Photos that the tests of this room predict."""

import pytest
from helpers.photos import save
from PIL import Image


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

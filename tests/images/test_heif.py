"""HEIC and AVIF: read by content, upright by the file's transforms and never turned twice."""

import io
import re
import struct

import numpy as np
import pytest
from helpers.trees import save_picture, town_card
from PIL import Image

import psp.images.heif as heif
from psp.data.shards import ShardSplit
from psp.images.headers import PNG
from psp.images.labels import decode_label
from psp.images.orientation import upright
from psp.images.pictures import check_image, decode_image, picture_size
from psp.images.reading import PictureError
from psp.predict.photos import decode_photo

pillow_heif = pytest.importorskip("pillow_heif")
KINDS = ["HEIC", "AVIF"]
CARD = town_card(train=1.0)


def stored(pixels, orientation):
    """The pixels that a camera stores: what `upright` turns back."""
    turned = (upright(pixels, other) for other in range(1, 9))
    return next(p for p in turned if np.array_equal(upright(p, orientation), pixels))


def blocks(rng, height, width):
    """A picture of large areas, which stay nearly what they are in a lossy file."""
    small = rng.integers(0, 256, (height // 16, width // 16, 3)).astype(np.uint8)
    return small.repeat(16, 0).repeat(16, 1)


def with_tag(data, orientation):
    """The same file with another orientation in its EXIF data, of the same length."""
    tag = re.compile(rb"(MM\0\*.{6}(?:.{12})*?\x01\x12\0\x03\0\0\0\x01)(..)", re.DOTALL)
    changed, count = tag.subn(lambda m: m[1] + struct.pack(">H", orientation), data)
    assert count == 1
    return changed


def saved(kind, pixels, orientation=1, tag=None, **options):
    """A file of stored `pixels` whose transforms are of an orientation, and its EXIF tag of any."""
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels)
    if kind == "AVIF":
        Image.init()
        if "AVIF" not in Image.SAVE:
            pytest.skip("this Pillow does not write AVIF")
        picture.save(buffer, "AVIF", quality=100, subsampling="4:4:4", exif=exif, **options)
    else:
        image = pillow_heif.from_pillow(picture)
        options = {"quality": -1, "chroma": 444, "matrix_coefficients": 0, **options}
        image.save(buffer, exif=exif, **options)
    data = buffer.getvalue()
    if orientation != 1:
        assert b"irot" in data or b"imir" in data
    return data if tag is None else with_tag(data, tag)


def near(first, second, bound=4):
    """Whether two pictures of large areas are the same but for what a lossy format changes."""
    return first.shape == second.shape and np.abs(first.astype(int) - second).mean() < bound


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("tag", [None, "same", "other"])
def test_a_picture_is_upright_by_its_transforms_whatever_its_tag_says(rng, kind, orientation, tag):
    pixels = blocks(rng, 48, 80)
    number = {None: None, "same": orientation, "other": 6 if orientation == 1 else 1}[tag]
    if kind == "AVIF" and tag is None and orientation == 1:
        number = None
    data = saved(kind, stored(pixels, orientation), orientation)
    data = with_tag(data, number) if number is not None and b"\x01\x12\0\x03" in data else data
    for read in (decode_photo, decode_image, lambda d, w: decode_image(d, w, turn=True)):
        assert near(read(data, "p.jpg"), pixels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_modes_become_rgb_and_transparency_is_dropped(rng, kind, mode):
    pixels = blocks(rng, 32, 48)
    picture = Image.fromarray(pixels).convert(mode)
    found = decode_photo(saved(kind, np.asarray(picture)), "p.heic")
    assert near(found, np.asarray(picture.convert("RGB")))


def test_ten_bits_keep_their_upper_eight(rng):
    values = rng.integers(0, 1024, (32, 48, 3)).astype(np.uint16) << 6
    image = pillow_heif.from_bytes(mode="RGB;16", size=(48, 32), data=values.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, quality=-1, chroma=444, matrix_coefficients=0)
    assert np.array_equal(decode_photo(buffer.getvalue(), "p.heic"), values >> 8)


def test_of_several_pictures_the_main_one_is_read(rng):
    first, second = blocks(rng, 32, 48), blocks(rng, 48, 64)
    image = pillow_heif.from_pillow(Image.fromarray(first))
    image.add_from_pillow(Image.fromarray(second))
    buffer = io.BytesIO()
    image.save(buffer, primary_index=1, quality=95)
    assert near(decode_photo(buffer.getvalue(), "p.heic"), second)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_is_refused(rng, kind):
    data = saved(kind, rng.integers(0, 256, (64, 96, 3)).astype(np.uint8))
    for length in (20, 200, len(data) // 2, len(data) - 300):
        for read in (decode_photo, check_image):
            with pytest.raises(PictureError, match=r"p\.heic: "):
                read(data[:length], "p.heic")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["m.png", "m.heic"])
def test_as_a_mask_it_is_refused_as_lossy(rng, kind, name):
    with pytest.raises(PictureError, match=rf"{re.escape(name)}.*{kind}.*lossy"):
        decode_label(saved(kind, blocks(rng, 32, 48)[..., 0]), name)


@pytest.fixture
def mixed_set(tmp_path, rng):
    """Photos of HEIC and AVIF beside a PNG; one HEIC is named .jpg, one photo is turned."""
    photos = {}
    for name, kind, orientation in (
        ("a.heic", "HEIC", 1),
        ("b.jpg", "HEIC", 6),
        ("c.avif", "AVIF", 8),
        ("d.HEIC", "HEIC", 3),
    ):
        pixels = blocks(rng, 48, 80)
        path = tmp_path / "raw/photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(saved(kind, stored(pixels, orientation), orientation))
        assert picture_size(path) == (48, 80) or kind == "AVIF"
        photos[path.stem] = pixels
    photos["e"] = blocks(rng, 48, 80)
    save_picture(tmp_path / "raw/photos/e.png", photos["e"])
    for name in photos:
        save_picture(tmp_path / f"raw/masks/{name}.png", rng.integers(0, 3, (48, 80), np.uint8))
    (tmp_path / "town.toml").write_text(CARD)
    return photos


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--store", "raw"], ["--reencode", "jpeg:95"]])
def test_shards_need_no_extra(mixed_set, tmp_path, psp, monkeypatch, options):
    _, _, err = psp("prepare", "town.toml", "raw", "-o", "data", *options, check=0)
    assert ("4 HEIC or AVIF pictures" in err and "PNG" in err) == (not options)
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    monkeypatch.setattr(heif, "has_avif", lambda: False)
    split = ShardSplit(tmp_path / "data", "train")
    for index, name in enumerate(split.names):
        bound = 12 if "--reencode" in options else 4
        assert near(split.image(index), mixed_set[name], bound), name
        if not options:
            assert split.image_bytes(index).startswith(PNG)
    psp("verify", "data", check=0)
    psp("inspect", "data", "--sheet", "sheet.png", check=0)


def test_without_the_extra_each_is_counted_and_the_message_says_how_to_get_it(
    mixed_set, tmp_path, psp, monkeypatch
):
    for name in ("kinds", "reading"):
        monkeypatch.setattr(f"psp.images.{name}.has_heif", lambda: False)
    with pytest.raises(PictureError, match=r"b\.jpg: .*HEIC.*pip install pillow-heif"):
        decode_photo((tmp_path / "raw/photos/b.jpg").read_bytes(), "b.jpg")
    code, _, err = psp("prepare", "town.toml", "raw", "-o", "data")
    assert code == 2 and "2 .heic (HEIC: " in err and "pip install pillow-heif" in err
    assert "missing" in err


@pytest.mark.slow
def test_predict_reads_them_and_counts_them_without_the_extra(
    mixed_set, tmp_path, psp, monkeypatch, journey
):
    run = journey.folder / "run"
    psp("predict", "raw/photos", "-m", run, "-o", "all", check=0)
    assert {path.stem for path in (tmp_path / "all/labels").iterdir()} == set(mixed_set)
    for path in (tmp_path / "all/labels").iterdir():
        assert Image.open(path).size == (80, 48)
    for name in ("kinds", "reading"):
        monkeypatch.setattr(f"psp.images.{name}.has_heif", lambda: False)
    _, _, err = psp("predict", "raw/photos", "-m", run, "-o", "fewer", check=3)
    assert "2 .heic (HEIC: " in err and "pip install pillow-heif" in err
    assert {path.stem for path in (tmp_path / "fewer/labels").iterdir()} == {"c", "e"}

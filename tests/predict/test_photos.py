"""Photos: whatever Pillow or OpenCV reads, upright, as uint8 RGB."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from psp.images.pictures import decode_image
from psp.images.reading import PictureError
from psp.predict.photos import PHOTO_SUFFIXES, decode_photo


def file(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def oriented(value, kind="PNG"):
    """A picture of 6x4 whose EXIF says that it is stored in the orientation `value`."""
    pixels = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = value
    return pixels, file(Image.fromarray(pixels), kind, exif=exif)


# What each EXIF orientation asks for, after the standard's own words: 0th row, 0th column.
UPRIGHT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p),
}


@pytest.mark.parametrize("value", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_every_orientation_is_honored(value, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels, _ = oriented(value)
    exif = Image.Exif()
    exif[0x0112] = value
    data = file(Image.fromarray(pixels), kind, exif=exif, **options)
    assert np.array_equal(decode_photo(data, "x"), UPRIGHT[value](pixels))
    if kind == "PNG":  # an independent reader agrees
        seen = cv2.imdecode(
            np.frombuffer(file(Image.fromarray(pixels), "JPEG", exif=exif), "u1"), 1
        )
        assert seen.shape == UPRIGHT[value](pixels).shape


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_is_none_turns_nothing(value):
    pixels, data = oriented(value)
    assert np.array_equal(decode_photo(data, "x"), pixels)


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*garbage!!", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff"])
def test_garbage_for_exif_is_no_reason_to_refuse_a_picture(exif):
    data = file(Image.new("RGB", (6, 4), (9, 99, 199)), "JPEG", exif=exif)
    assert np.abs(decode_photo(data, "x").astype(int) - (9, 99, 199)).max() < 4


@pytest.mark.parametrize(
    "kind",
    [
        "AVIF",
        "BMP",
        "DDS",
        "DIB",
        "GIF",
        "ICO",
        "JPEG",
        "JPEG2000",
        "PCX",
        "PNG",
        "PPM",
        "QOI",
        "SGI",
        "TGA",
        "TIFF",
        "WEBP",
    ],
)
def test_what_pillow_writes_is_read(rng, kind):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip("this Pillow does not write it")
    smooth = np.linspace(40, 200, 48).astype(np.uint8)
    pixels = np.stack([np.tile(smooth, (32, 1)), np.full((32, 48), 90), np.full((32, 48), 30)], 2)
    picture = Image.fromarray(pixels.astype(np.uint8))
    options = {"sizes": [(48, 32)]} if kind == "ICO" else {}
    found = decode_photo(file(picture, kind, **options), "x")
    assert (found.shape, found.dtype) == ((32, 48, 3), np.uint8)
    assert np.abs(found.astype(int) - pixels).mean() < 4


@pytest.mark.parametrize("suffix", [".hdr", ".pic", ".tiff", ".ras"])
def test_what_opencv_writes_is_read(rng, suffix):
    pixels = rng.integers(30, 220, (12, 16, 3), dtype=np.uint8)
    light = suffix in (".hdr", ".pic")
    written = (pixels / np.float32(255)) if light else pixels
    done, data = cv2.imencode(suffix, written[..., ::-1])
    assert done
    found = decode_photo(data.tobytes(), "x")
    assert np.abs(found.astype(int) - pixels).max() <= 2
    assert {".pam", ".hdr", ".pic", ".tiff", ".ras"} <= PHOTO_SUFFIXES


def test_16_bits_become_8(rng):
    gray = rng.integers(0, 65536, (9, 11), dtype=np.uint16)
    assert np.array_equal(decode_photo(file(Image.fromarray(gray), "PNG"), "x")[..., 1], gray >> 8)
    color = rng.integers(0, 65536, (9, 11, 3), dtype=np.uint16)
    for suffix in (".png", ".tiff"):
        found = decode_photo(cv2.imencode(suffix, color)[1].tobytes(), "x")
        assert np.abs(found.astype(int) - (color[..., ::-1] >> 8)).max() <= 1


@pytest.mark.parametrize("suffix", [".tiff", ".pfm"])
def test_fractions_are_refused_and_nothing_is_printed(capfd, suffix):
    data = cv2.imencode(suffix, np.full((4, 4, 3), 0.5, np.float32))[1].tobytes()
    with pytest.raises(PictureError) as error:
        decode_photo(data, "x")
    assert str(error.value).startswith("x: ") and "8 bits" in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n",
        b"%PDF-1.4",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"#?RADIANCE\n",
        b"\0" * 100,
        b"P6 9 9",
    ],
)
def test_what_is_no_picture_is_one_line(capfd, data):
    with pytest.raises(PictureError) as caught:
        decode_photo(data, "photo.jpg")
    assert str(caught.value).startswith("photo.jpg: ") and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_truncated_picture_is_never_filled_in_with_gray(rng):
    picture = Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    for kind in ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"):
        data = file(picture, kind)
        for share in (0.3, 0.7, 0.95):
            with pytest.raises(PictureError):
                decode_photo(data[: int(share * len(data))], "x")


def test_data_sets_and_photos_see_the_same_pixels(rng):
    picture = Image.fromarray(rng.integers(0, 256, (30, 41, 3), dtype=np.uint8))
    for kind, mode in (
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "P"),
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("PNG", "1"),
    ):
        data = file(picture.convert(mode), kind)
        assert np.array_equal(decode_photo(data, "x"), decode_image(data, "x"))


def test_a_raw_file_is_named_although_pillow_would_show_the_preview_in_it(rng):
    data = file(Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)), "TIFF")
    with pytest.raises(PictureError, match=r"photo\.DNG: .*raw.*convert it to JPEG or PNG"):
        decode_photo(data, "photo.DNG")


def test_a_jpeg_2000_of_deep_colors_is_refused(rng):
    """Pillow rounds their white up to 256, which is black."""
    pixels = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    data = bytearray(file(pixels, "JPEG2000", irreversible=False))
    assert np.array_equal(decode_photo(bytes(data), "p.jp2"), np.asarray(pixels))
    data[data.index(b"\xff\x4f\xff\x51") + 42] = 11  # bits - 1
    with pytest.raises(PictureError, match=r"p\.jp2.*12 bits"):
        decode_photo(bytes(data), "p.jp2")


def test_eight_bits_in_sixteen_are_not_black(rng):
    gray = rng.integers(0, 256, (9, 11), dtype=np.uint16)
    notes = []
    found = decode_photo(file(Image.fromarray(gray), "PNG"), "x", notes)
    assert np.array_equal(found[..., 1], gray)
    assert notes == ["pictures of 16 bits a color use 8: white is 255"]


KINDS = {
    "JPEG XL": b"\xff\x0a" + bytes(90),
    "video": b"\0\0\0\x20ftypisom" + bytes(90),
    "archive": b"PK\3\4" + bytes(90),
    "document": b"%PDF-1.4\n" + bytes(90),
    "drawing": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "camera raw": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(90),
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(400),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_picture_is_named_by_its_content(kind, monkeypatch):
    for module in ("kinds", "reading"):
        monkeypatch.setattr(f"psp.images.{module}.has_heif", lambda: False)
    for read in (decode_photo, decode_image):
        with pytest.raises(PictureError, match=rf"photo\.jpg: .*{kind}"):
            read(KINDS[kind], "photo.jpg")

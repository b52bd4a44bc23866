"""JPEGs of shards are decoded faster, into the very pixels that Pillow gives, or by Pillow."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from psp.images import fast_jpeg as module
from psp.images.fast_jpeg import fast_jpeg
from psp.images.pictures import check_image, decode_checked, decode_image
from psp.images.reading import PictureError


def jpeg(rng, mode="RGB", size=(67, 45), **options):
    noise = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (8, 16), (67, 45), (640, 31)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_the_pixels_are_those_of_pillow(rng, size, subsampling):
    for options in ({"quality": 30}, {"quality": 95, "progressive": True}, {"optimize": True}):
        data = jpeg(rng, size=size, subsampling=subsampling, **options)
        found = fast_jpeg(data)
        assert found is not None
        assert np.array_equal(found, decode_image(data, "x"))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colors_are_left_to_pillow(rng, mode):
    data = jpeg(rng, mode)
    assert fast_jpeg(data) is None
    assert np.array_equal(decode_checked(data, "x"), decode_image(data, "x"))


def test_a_cut_or_torn_file_is_left_to_pillow_which_refuses_it(rng):
    data = jpeg(rng)
    for broken in (data[:-200], data[:3], b"\xff\xd8\xff\xd9", b"", b"\xff\xd8\xff\xe0"):
        assert fast_jpeg(broken) is None
        with pytest.raises(PictureError):
            decode_checked(broken, "x")


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_photos_are_turned_by_their_exif_data_where_it_counts(rng, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(rng, exif=exif)
    for turn in (False, True):
        assert np.array_equal(
            decode_checked(data, "x", turn=turn), decode_image(data, "x", turn=turn)
        )


def test_damage_that_decoders_bear_is_not_printed(rng, capfd):
    """The pixels are still those of Pillow, which prints nothing."""
    data = jpeg(rng, size=(300, 200))
    for broken in (data[:-2] + b"abc" + data[-2:], data[:9000] + data[-2:]):
        found = fast_jpeg(broken)
        assert found is None or np.array_equal(found, decode_image(broken, "x"))
        assert check_image(broken, "x") == (200, 300, 1)
    assert capfd.readouterr() == ("", "")


def test_beside_threads_that_may_print_pillow_decodes(rng):
    data, done = jpeg(rng), threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert fast_jpeg(data) is None
        assert np.array_equal(decode_checked(data, "x"), decode_image(data, "x"))
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_check_says_what_pillow_says(rng, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for options in ({}, {"progressive": True}):
        data, notes = jpeg(rng, exif=exif, **options), []
        assert check_image(data, "x", notes) == (45, 67, orientation) and not notes
    with pytest.raises(PictureError, match="ends early"):
        check_image(data[:-300], "x")


def test_where_the_libraries_differ_pillow_decodes(rng, monkeypatch):
    data, real = jpeg(rng), module.quiet_pixels
    module._agree.cache_clear()
    monkeypatch.setattr(module, "quiet_pixels", lambda *given: real(*given) ^ 1)
    assert fast_jpeg(data) is None
    module._agree.cache_clear()

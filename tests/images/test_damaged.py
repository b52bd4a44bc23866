"""Files that lack their last bytes, have more than one picture, or are not quite what they seem."""

import io
import struct

import cv2
import numpy as np
import pytest
from helpers import picture_files as files
from helpers.picture_files import GRAY, RGB, chunk, exif, saved
from PIL import Image

from psp.images.jpeg import jpeg_lacks_end
from psp.images.labels import decode_color_label, decode_label
from psp.images.pictures import check_image, decode_image
from psp.images.reading import PictureError
from psp.predict.photos import decode_photo

READ = (decode_image, decode_photo, check_image)


@pytest.fixture
def pixels(rng):
    small = Image.fromarray(rng.integers(0, 256, (9, 11, 3)).astype("u1"))
    return np.asarray(small.resize((83, 61), Image.Resampling.BICUBIC))


def refused(data, cause, readers=READ):
    for read in readers:
        with pytest.raises(PictureError, match=rf"p\.x: .*{cause}"):
            read(data, "p.x")


def test_a_png_without_its_end_is_read_if_it_has_all_pixels(pixels):
    data = saved(Image.fromarray(pixels))
    for lost in (1, 4, 11, 12):
        assert np.array_equal(decode_photo(data[:-lost], "p"), pixels)
        assert check_image(data[:-lost], "p") == (61, 83, 1)
    for lost in (13, 20, len(data) // 2):
        refused(data[:-lost], "truncated")
    assert np.array_equal(decode_photo(data + b"something else", "p"), pixels)
    mask = saved(Image.fromarray(pixels[..., 0] % 7))
    assert np.array_equal(decode_label(mask[:-12], "m"), pixels[..., 0] % 7)


def test_whole_chunks_of_pixels_must_not_be_missing(rng):
    noise = rng.integers(0, 256, (300, 300, 3)).astype("u1")
    data = saved(Image.fromarray(noise))
    second = data.index(b"IDAT", data.index(b"IDAT") + 4) - 4
    refused(data[:second], "truncated")


@pytest.mark.parametrize("kind", [b"tEXt", b"gAMA", b"tIME", b"pHYs", b"abCd"])
def test_a_wrong_checksum_where_no_pixel_depends_on_it_does_not_matter(pixels, kind):
    data = saved(Image.fromarray(pixels))
    broken = chunk(kind, b"some\0bytes")[:-1] + b"!"
    assert np.array_equal(decode_photo(data[:33] + broken + data[33:], "p"), pixels)


@pytest.mark.parametrize("kind", [b"eXIf", b"tRNS", b"sBIT", b"ABCD"])
def test_a_wrong_checksum_elsewhere_is_refused(pixels, kind):
    data = saved(Image.fromarray(pixels))
    content = exif(6) if kind == b"eXIf" else b"xyz"
    refused(data[:33] + chunk(kind, content)[:-1] + b"!" + data[33:], "wrong checksum")


def test_an_orientation_in_a_long_note_is_kept(rng):
    values = rng.integers(0, 256, (13, 11, 3))
    note = b"XML:com.adobe.xmp\0\0\0\0\0" + b' <x tiff:Orientation="6"/>' + b" " * 90_000
    data = files.png(values, RGB, 8, chunks=[(b"iTXt", note)])
    assert np.array_equal(decode_photo(data, "p"), np.rot90(values, -1))


def test_a_png_of_an_iphone_app_is_named(pixels):
    data = saved(Image.fromarray(pixels))
    refused(data[:8] + chunk(b"CgBI", b"\x50\0\x20\x06") + data[8:], "CgBI")


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 90}])
def test_a_webp_may_lack_the_byte_that_only_fills_up(rng, options):
    for width in range(20, 30):
        picture = Image.fromarray(rng.integers(0, 256, (30, width, 3)).astype("u1"))
        data = saved(picture, "WEBP", **options)
        odd = int.from_bytes(data[16:20], "little") % 2
        if odd:
            assert np.array_equal(decode_photo(data[:-1], "p"), decode_photo(data, "p"))
        else:
            refused(data[:-1], "ends early")
        refused(data[:-2], "ends early")
        assert np.array_equal(decode_photo(data + b"more", "p"), decode_photo(data, "p"))


def test_a_webp_without_loss_has_exact_colors(pixels):
    picture = Image.fromarray(pixels)
    exact = pixels.astype(int) @ (65536, 256, 1)
    assert np.array_equal(decode_color_label(saved(picture, "WEBP", lossless=True), "m"), exact)
    with pytest.raises(PictureError, match=r"m.*lossy"):
        decode_color_label(saved(picture, "WEBP", quality=90), "m")


def test_a_gif_whose_frame_is_smaller_than_its_screen_is_no_mask(rng):
    ids = rng.integers(0, 5, (20, 30)).astype("u1")
    data = bytearray(saved(Image.fromarray(ids), "GIF"))
    assert np.array_equal(decode_label(bytes(data), "m"), ids)
    data[6:10] = struct.pack("<HH", 40, 30)
    with pytest.raises(PictureError, match=r"m\.gif.*smaller than its screen"):
        decode_label(bytes(data), "m.gif")


def test_what_follows_a_jpeg_does_not_matter(pixels):
    data = saved(Image.fromarray(pixels), "JPEG", quality=90)
    film = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 9
    for more in (film, bytes(999), b"<html></html>", data):
        assert np.array_equal(decode_photo(data + more, "p"), decode_photo(data, "p"))
        assert not jpeg_lacks_end(data + more)
    thumbnail = saved(Image.fromarray(pixels), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0" + data)
    assert jpeg_lacks_end(thumbnail[:-2]) and not jpeg_lacks_end(thumbnail)
    second = Image.fromarray(pixels[::-1].copy())
    both = saved(Image.fromarray(pixels), "MPO", save_all=True, append_images=[second], quality=90)
    assert np.array_equal(decode_photo(both, "p"), decode_photo(data, "p"))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpegs_equal_a_second_decoder(pixels, mode, progressive, subsampling):
    options = {"quality": 95, "progressive": progressive}
    if mode == "RGB":
        options["subsampling"] = subsampling
    data = saved(Image.fromarray(pixels).convert(mode), "JPEG", **options)
    second = cv2.imdecode(np.frombuffer(data, "u1"), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decode_photo(data, "p").astype(int) - second).mean() < 1.5
    assert np.array_equal(decode_photo(data[:-2], "p"), decode_photo(data, "p"))


def test_colors_of_a_jpeg_that_are_not_ycbcr_are_read(pixels):
    data = saved(Image.fromarray(pixels), "JPEG", quality=98, keep_rgb=True, subsampling=0)
    assert np.abs(decode_photo(data, "p").astype(int) - pixels).mean() < 2


@pytest.mark.parametrize(
    ("marker", "depth", "cause"), [(0xC1, 12, "12 bits"), (0xF7, 8, "JPEG-LS")]
)
def test_a_jpeg_of_another_kind_is_named(pixels, marker, depth, cause):
    data = bytearray(saved(Image.fromarray(pixels), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, depth
    refused(bytes(data), cause)


def pages(first, others, tags):
    """A TIFF of several pages, the first with tags of its own."""
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others, tiffinfo=tags)
    return buffer.getvalue()


def test_pages_of_a_tiff_are_counted_without_overviews(rng):
    ids = rng.integers(0, 5, (20, 30)).astype("u1")
    page, small = Image.fromarray(ids), Image.fromarray(ids[::2, ::2].copy())
    with pytest.raises(PictureError, match=r"m\.tif.*several pictures"):
        decode_label(pages(page, [page], {}), "m.tif")
    overview = small.copy()
    overview.encoderinfo = {"tiffinfo": {254: 1}}
    with_overview = pages(page, [overview], {254: 0})
    assert np.array_equal(decode_label(with_overview, "m.tif"), ids)
    preview_first = pages(small, [page], {254: 1})
    for read in (*READ, decode_label):
        with pytest.raises(PictureError, match=r"m\.tif.*preview"):
            read(preview_first, "m.tif")
    assert np.array_equal(decode_label(saved(page, "TIFF", tiffinfo={254: 1}), "m.tif"), ids)


def test_a_raw_file_named_as_a_tiff_is_named(pixels):
    data = saved(Image.fromarray(pixels), "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    refused(data, "raw file .DNG.")


def test_a_compression_that_is_not_read_is_named(rng):
    values = rng.integers(0, 256, (13, 11, 3))
    for number, name in (
        (34712, "JPEG 2000"),
        (50001, "WebP"),
        (34887, "LERC"),
        (999, "number 999"),
    ):
        refused(files.tiff([values], 8, 2, compression=number), name)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_colors_of_sixteen_bits_are_no_ids_unless_they_are_eight_twice(rng, kind):
    colors = rng.integers(0, 256, (13, 11, 3))
    write = {"png": lambda v: files.png(v, RGB, 16), "tiff": lambda v: files.tiff([v], 16, 2)}[kind]
    exact = colors @ (65536, 256, 1)
    assert np.array_equal(decode_color_label(write(colors * 257), "m"), exact)
    for factor in (1, 16):
        with pytest.raises(PictureError, match=r"m\.x.*8 bits"):
            decode_color_label(write(colors * factor), "m.x")


@pytest.mark.parametrize("photometric", [0, 5, 6, 8])
def test_colors_that_a_decoder_converts_are_no_labels(rng, photometric):
    bands = 4 if photometric == 5 else 1 if photometric == 0 else 3
    data = files.tiff([rng.integers(0, 9, (13, 11, bands))], 8, photometric)
    for read in (decode_label, decode_color_label):
        with pytest.raises(PictureError, match=r"m\.x.*photometric interpretation"):
            read(data, "m.x")


def test_a_png_with_values_in_the_upper_bits_keeps_its_white(rng):
    """As the specification asks for where the chunk sBIT says 12: white is 65535."""
    values = rng.integers(0, 1 << 12, (13, 11, 1)) * 16
    values[0, 0] = 65520
    data = files.png(values, GRAY, 16, chunks=[(b"sBIT", bytes([12]))])
    assert np.array_equal(decode_photo(data, "p")[..., 0], values[..., 0] >> 8)

"""Decoding: palette indices stay ids, broken files are refused, formats become RGB."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from helpers.errors import error_naming
from PIL import Image

from psp.images.encoding import encode_jpeg, encode_label, encode_palette, encode_png
from psp.images.labels import decode_label, histogram
from psp.images.pictures import check_image, decode_image
from psp.images.reading import PictureError


def file(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_palette_mask_gives_indices_not_grays(rng):
    ids = rng.choice(np.array([0, 15, 20, 255], np.uint8), (30, 40))
    palette = tuple((37 * i % 256, 11 * i % 256, i) for i in range(21))
    data = encode_palette(ids, palette)
    picture = Image.open(io.BytesIO(data))
    assert picture.mode == "P"
    assert np.array_equal(np.array(picture), ids)
    assert np.array_equal(decode_label(data, "x"), ids)
    assert np.array_equal(np.array(picture.convert("RGB"))[ids == 15][0], palette[15])


@pytest.mark.parametrize("classes", [1, 2, 3, 15, 16, 17, 255])
def test_palette_files_keep_255_for_any_number_of_colors(classes):
    ids = np.array([[0, classes - 1, 255]], np.uint8)
    palette = tuple((i, i, i) for i in range(classes))
    assert np.array_equal(decode_label(encode_palette(ids, palette), "x"), ids)


def test_labels_round_trip(rng):
    ids = rng.integers(0, 256, (17, 23), dtype=np.uint8)
    assert np.array_equal(decode_label(encode_label(ids), "x"), ids)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (40, 60), (300, 7)])
def test_other_decoders_read_the_same_label(rng, shape):
    for ids in (rng.integers(0, 256, shape, np.uint8), np.full(shape, 255, np.uint8)):
        data = encode_label(ids)
        Image.open(io.BytesIO(data)).verify()  # raises for a checksum
        assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), -1), ids)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (64, 48), (48, 640)])
@pytest.mark.parametrize("repeat", [1, 40])
def test_every_pixel_of_areas_and_of_noise_is_counted(rng, shape, repeat):
    for top in (1, 2, 256):
        label = np.repeat(rng.integers(0, top, shape, np.uint8), repeat, axis=1)
        for turned in (label, label.T, label[::-1, ::-1]):
            counts = histogram(turned)
            assert counts.dtype == np.int64
            expected = dict(zip(*np.unique(label, return_counts=True), strict=True))
            assert counts.tolist() == [expected.get(value, 0) for value in range(256)]


def test_a_wrong_checksum_in_any_chunk_is_refused(rng):
    data = file(Image.fromarray(rng.integers(0, 9, (300, 400), dtype=np.uint8)), "PNG")
    at, chunks = 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], at + 8 + length))
        at += 12 + length
    assert len(chunks) > 2
    for kind, check in chunks[:-1]:
        broken = bytearray(data)
        broken[check] ^= 1
        with error_naming(PictureError, f"{kind.decode()}: ", "picture"):
            decode_label(bytes(broken), kind.decode())


def test_16_bit_labels_keep_their_values():
    raw = np.array([[0, 459, 65535]], np.uint16)
    assert decode_label(file(Image.fromarray(raw)), "x").tolist() == [[0, 459, 65535]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_gray_pngs_of_few_bits_keep_their_values(bits):
    """Pillow scales 2- and 4-bit grays to 0..255; labels need the raw values."""
    width, top = 16, 2**bits - 1
    ids = np.arange(width) % (top + 1)
    packed = np.packbits((ids[:, None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).ravel())

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, 1, bits, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"IDAT", zlib.compress(b"\0" + packed.tobytes())) + chunk(b"IEND", b"")
    assert decode_label(data, "x").tolist() == [ids.tolist()]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_color_picture_is_no_label(mode):
    with error_naming(PictureError, "mask.png: ", f"mode {mode}", "PNG"):
        decode_label(file(Image.new(mode, (4, 4))), "mask.png")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(mode):
    picture = Image.fromarray(np.full((5, 7), 40000, np.uint16)) if mode == "I;16" else None
    picture = picture or Image.new("L", (7, 5), 156).convert(mode)
    data = file(picture, "JPEG" if mode == "CMYK" else "PNG")
    image = decode_image(data, "x")
    assert (image.shape, image.dtype) == ((5, 7, 3), np.uint8)
    if mode != "1":
        assert np.abs(image.astype(int) - 156).max() <= 2


def test_an_orientation_is_ignored(rng):
    """The masks of data sets ignore it; photos are turned (test_photos.py)."""
    pixels = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    data = file(Image.fromarray(pixels), "PNG", exif=exif)
    assert np.array_equal(decode_image(data, "x"), pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("fraction", [0.0, 0.02, 0.5, 0.9])
def test_a_truncated_file_is_refused(rng, kind, fraction):
    data = file(Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)), kind)
    with error_naming(PictureError, "photo: "):
        decode_image(data[: int(len(data) * fraction)], "photo")


def test_any_flipped_byte_of_a_label_png_is_refused_or_harmless(rng):
    ids = rng.integers(0, 12, (20, 20), dtype=np.uint8)
    data = encode_label(ids)
    noticed = 0
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 0x55
        try:
            label = decode_label(bytes(broken), "x")
        except PictureError:
            noticed += 1
        else:
            assert np.array_equal(label, ids)  # a byte that no pixel depends on
    assert noticed > 0.9 * len(data)


def test_not_a_picture_is_said(rng):
    with error_naming(PictureError, "x: ", "not a picture"):
        decode_image(b"no picture at all", "x")
    with error_naming(PictureError, "x: ", "a web page"):
        decode_image(b"<html>404</html>", "x")


def test_png_is_lossless_and_jpeg_close(rng):
    image = np.full((20, 30, 3), 90, np.uint8)
    assert np.array_equal(decode_image(encode_png(image), "x"), image)
    assert np.abs(decode_image(encode_jpeg(image), "x").astype(int) - 90).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_checking_a_jpeg_finds_what_decoding_it_does(rng, mode, progressive):
    """The check does the inverse transform at 1/8; it must still find every broken file."""
    pixels = np.kron(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8), np.ones((9, 9, 1), np.uint8))
    data = file(Image.fromarray(pixels).convert(mode), "JPEG", progressive=progressive)
    assert check_image(data, "x")[:2] == (81, 63)
    refused = 0
    for number in range(400):
        broken = bytearray(data)
        if number % 2:
            broken[rng.integers(2, len(data))] ^= 1 << rng.integers(8)
        else:
            del broken[rng.integers(2, len(data)) :]
        results = []
        for read in (check_image, decode_image):
            try:
                results.append(read(bytes(broken), "x"))
            except PictureError:
                results.append(None)
        assert (results[0] is None) == (results[1] is None), number
        if results[0] is not None:
            assert results[0][:2] == results[1].shape[:2]
        refused += results[0] is None
    assert refused > 150

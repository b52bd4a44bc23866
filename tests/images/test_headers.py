"""Every variant of a format is read exactly, or refused with the true cause: never garbled.

The files are written here, bit by bit from the formats' specifications, so that what is in them is
known without a decoder.
"""

import io
import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from psp.images.headers import PNG, checked_png
from psp.images.labels import decode_label, label_palette
from psp.images.pictures import check_image, decode_image
from psp.images.reading import PictureError, UnknownKindError

GRAYS = np.linspace(0, 255, 256).astype(np.uint8)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def packed_rows(indices, bits, align):
    """Rows of indices with so many bits each, the leftmost in the highest bits, padded."""
    rows = []
    for row in indices:
        digits = "".join(f"{value:0{bits}b}" for value in row)
        data = bytes(int(digits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(digits), 8))
        rows.append(data + bytes(-len(data) % align))
    return rows


def bmp(indices, palette, bits, *, top_down=False, header=40, stated_colors=None):
    height, width = indices.shape
    rows = packed_rows(indices, bits, 4)
    pixels = b"".join(rows if top_down else rows[::-1])
    entry = 3 if header == 12 else 4
    table = b"".join(bytes(color[::-1]) + bytes(entry - 3) for color in palette)
    offset = 14 + header + len(table)
    sides = (width, -height if top_down else height)
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        colors = len(palette) if stated_colors is None else stated_colors
        head = struct.pack("<IiiHHIIiiII", header, *sides, 1, bits, 0, len(pixels), 1, 1, colors, 0)
        head = head.ljust(header, b"\0")
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + head + table + pixels


PALETTES = {
    "black and white": [(0, 0, 0), (255, 255, 255)],
    "white and black": [(255, 255, 255), (0, 0, 0)],
    "two colors": [(9, 200, 3), (1, 2, 250)],
    "grays": [(value, value, value) for value in range(256)],
    "few colors": [(255 - 30 * k, 7 * k, 3) for k in range(7)],
}


@pytest.mark.parametrize("header", [12, 40, 108, 124])
@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("name", PALETTES)
def test_a_bmp_with_a_palette_gives_its_indices_and_its_colors(rng, name, bits, top_down, header):
    palette = PALETTES[name][: 1 << bits]
    if header == 12 and top_down:
        pytest.skip("OS/2 headers have no negative height")
    if header == 12:  # the number of entries follows from the bits
        palette = (palette * 256)[: 1 << bits]
    indices = rng.integers(0, len(palette), (9, 13)).astype(np.uint8)
    data = bmp(indices, palette, bits, top_down=top_down, header=header)
    assert np.array_equal(decode_label(data, "m.bmp"), indices)
    assert np.array_equal(decode_image(data, "m.bmp"), np.array(palette, np.uint8)[indices])
    assert label_palette(data)[1] == int.from_bytes(bytes(palette[1]), "big")


def test_a_bmp_cut_short_or_with_runs_is_refused(rng):
    indices = rng.integers(0, 2, (9, 13)).astype(np.uint8)
    data = bmp(indices, PALETTES["two colors"], 8)
    with pytest.raises(PictureError, match=r"m\.bmp.*truncated"):
        decode_label(data[:-5], "m.bmp")
    runs = bytearray(data)
    runs[30:34] = struct.pack("<I", 1)
    with pytest.raises(PictureError, match=r"m\.bmp.*run-length"):
        decode_label(bytes(runs), "m.bmp")


def tiff(rows, width, tags):
    """A little-endian TIFF of one strip a list entry; tags: number -> list of 16-bit values."""
    height = tags.pop("height")
    fields = {256: [width], 257: [height], 259: [1], 278: [height], **tags}
    fields[273], fields[279] = [0] * len(rows), [len(row) for row in rows]
    after = 8 + 2 + 12 * len(fields) + 4
    outside, places = b"", {}
    for tag, values in sorted(fields.items()):
        if tag in (273, 279) and len(values) > 1:
            places[tag], outside = after + len(outside), outside + bytes(4 * len(values))
        elif tag not in (273, 279) and len(values) > 2:
            places[tag], outside = after + len(outside), outside + bytes(2 * len(values))
    start, entries, block = after + len(outside), b"", bytearray(outside)
    for index, row in enumerate(rows):
        fields[273][index] = start + sum(map(len, rows[:index]))
        del row
    for tag, values in sorted(fields.items()):
        long = tag in (273, 279)
        data = struct.pack(f"<{len(values)}{'I' if long else 'H'}", *values)
        if tag in places:
            at = places[tag] - after
            block[at : at + len(data)] = data
            data = struct.pack("<I", places[tag])
        entries += struct.pack("<HHI", tag, 4 if long else 3, len(values)) + data.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4)
    return head + bytes(block) + b"".join(rows)


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("photometric", [0, 1, 2, 5, 6, 8])
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i1", "i2", "f4"])
def test_a_tiff_is_read_exactly_or_refused(rng, kind, bands, photometric, planar):
    """Never other pixels: what is taken is what was written, reduced to 8 bits."""
    values = rng.integers(0, 250, (6, 7, bands)).astype(np.dtype(f"<{kind}"))
    deep = values * 257 if kind == "u2" else values
    form = {"u": 1, "i": 2, "f": 3}[kind[0]]
    named = {0: 1, 1: 1, 2: 3, 5: 4, 6: 3, 8: 3}[photometric]
    tags = {
        "height": 6, 258: [8 * values.itemsize] * bands, 262: [photometric], 277: [bands],
        284: [planar], 339: [form] * bands,
    }  # fmt: skip
    if bands > named:
        tags[338] = [0] * (bands - named)
    strips = (
        [deep[..., band].tobytes() for band in range(bands)] if planar == 2 else [deep.tobytes()]
    )
    try:
        pixels = decode_image(tiff(strips, 7, tags), "t.tif")
    except PictureError as error:
        assert "t.tif" in str(error)
        assert not isinstance(error, UnknownKindError)  # which another decoder may try
        # What every scanner and camera writes must not be refused.
        common = (bands, photometric) in ((1, 1), (3, 2), (4, 2)) and planar == 1
        assert not (common and kind in ("u1", "u2")), error
        return
    levels = values.astype(np.uint8)
    if photometric == 0:
        expected = np.repeat(255 - levels[..., :1], 3, axis=2)
    elif photometric == 1:
        expected = np.repeat(levels[..., :1], 3, axis=2)
    elif photometric == 5:  # ink: checked loosely, as conversions differ
        assert pixels.shape == (6, 7, 3)
        return
    else:
        expected = levels[..., :3]
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize(("kind", "form"), [("u1", 1), ("u2", 1), ("u4", 1), ("i4", 2), ("f4", 3)])
def test_label_tiffs_of_whole_numbers_are_exact_in_any_width(rng, kind, form):
    values = rng.integers(0, 200, (6, 7)).astype(np.dtype(f"<{kind}"))
    tags = {"height": 6, 258: [8 * values.itemsize], 262: [1], 277: [1], 339: [form]}
    assert np.array_equal(decode_label(tiff([values.tobytes()], 7, tags), "t.tif"), values)


@pytest.mark.parametrize(("value", "shown"), [(-9999.0, "-9999"), (1.5, "1.5"), (70000.0, "70000")])
def test_a_label_tiff_of_other_numbers_names_them(value, shown):
    values = np.full((6, 7), value, "<f4")
    tags = {"height": 6, 258: [32], 262: [1], 277: [1], 339: [3]}
    with pytest.raises(PictureError, match=rf"t\.tif.*{shown}.*floating-point"):
        decode_label(tiff([values.tobytes()], 7, tags), "t.tif")


def chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def png_with(data, kind, content):
    return data[:33] + chunk(kind, content) + data[33:]


def saved(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP"])
def test_long_notes_in_a_png_do_not_matter(rng, kind):
    pixels = rng.integers(0, 256, (9, 8, 3)).astype(np.uint8)
    plain = saved(Image.fromarray(pixels))
    long = zlib.compress(bytes(80_000_000), 9)
    contents = {
        b"tEXt": b"note\0" + b"x" * 5_000_000,
        b"zTXt": b"note\0\0" + long,
        b"iTXt": b"note\0\1\0en\0note\0" + long,
        b"iCCP": b"profile\0\0" + long,
    }
    data = png_with(plain, kind, contents[kind])
    assert np.array_equal(decode_image(data, "p.png"), pixels)
    assert check_image(data, "p.png") == (9, 8, 1)
    short = png_with(plain, b"tEXt", b"Title\0a photo")
    assert checked_png(short) is short


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("stated", [False, True])
def test_deep_pictures_are_as_bright_as_they_are_meant(rng, bits, color, stated):
    """10, 12 and 14 bits in files of 16, by the header's word or by the largest value."""
    pixels = rng.integers(0, 256, (40, 50, 3) if color else (40, 50)).astype(np.uint16)
    pixels.flat[:2] = 255
    shallow = (pixels << bits - 8).astype(np.uint16)
    _, encoded = cv2.imencode(".png", shallow[..., ::-1] if color else shallow)
    data = encoded.tobytes()
    if stated:
        data = png_with(data, b"sBIT", bytes([bits] * (3 if color else 1)))
    expected = pixels if color else np.repeat(pixels[..., None], 3, axis=2)
    assert np.array_equal(decode_image(data, "p.png"), expected)


def test_all_sixteen_bits_are_what_they_were(rng):
    pixels = rng.integers(0, 1 << 16, (40, 50)).astype(np.uint16)
    pixels[0, 0] = 65535
    gray = decode_image(saved(Image.fromarray(pixels)), "p.png")
    assert np.array_equal(gray[..., 0], pixels >> 8)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_without_its_end_mark_holds_all_pixels(rng, mode, subsampling):
    small = Image.fromarray(rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)).convert(mode)
    picture = small.resize((53, 47))
    data = saved(
        picture, "JPEG", quality=90, **({"subsampling": subsampling} if mode == "RGB" else {})
    )
    expected = decode_image(data, "p.jpg")
    assert np.array_equal(decode_image(data[:-2], "p.jpg"), expected)
    assert np.array_equal(decode_image(data[:-1], "p.jpg"), expected)
    for lost in (8, 40, len(data) // 2):
        with pytest.raises(PictureError, match=r"p\.jpg.*(ends early|truncated)"):
            decode_image(data[:-lost], "p.jpg")
    progressive = saved(picture, "JPEG", quality=90, progressive=True)
    assert np.array_equal(
        decode_image(progressive[:-2], "p.jpg"), decode_image(progressive, "p.jpg")
    )
    scans = [at for at in range(len(progressive)) if progressive[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for start in scans[1:]:  # whole scans are missing
        with pytest.raises(PictureError, match=r"p\.jpg.*ends early"):
            decode_image(progressive[:start], "p.jpg")


def test_memory_is_the_limit_and_not_a_number_of_a_library(monkeypatch):
    wide = PNG + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in (
            (b"IHDR", struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"")),
            (b"IEND", b""),
        )
    )
    with pytest.raises(PictureError, match=r"p\.png.*200000x200000.*GB of memory"):
        decode_image(wide, "p.png")
    monkeypatch.setattr("psp.images.reading.available_memory", lambda: None)  # not Linux
    with pytest.raises(PictureError, match=r"p\.png"):
        decode_image(saved(Image.new("L", (8, 8)))[:-20], "p.png")


def test_png_variants_equal_a_second_decoder(rng):
    """Depths, kinds and interlacing of PNG: the same pixels as OpenCV's."""
    for mode, size in itertools.product(("1", "L", "P", "RGB", "RGBA", "LA"), ((7, 5), (64, 33))):
        levels = rng.integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
        picture = Image.fromarray(levels).convert("RGBA" if mode == "LA" else mode)
        picture = picture.convert(mode)
        data = saved(picture)
        flags = cv2.IMREAD_COLOR
        second = cv2.imdecode(np.frombuffer(data, np.uint8), flags)[..., ::-1]
        assert np.array_equal(decode_image(data, "p.png"), second), mode


@pytest.mark.parametrize("kind", ["GIF", "PNG", "BMP", "PPM"])
def test_a_header_that_a_few_bytes_cannot_fulfill_takes_no_memory(kind, monkeypatch):
    """Four gigabytes would be taken for a file of some hundred bytes."""
    side = 60000
    monkeypatch.setattr("psp.images.reading.available_memory", lambda: None)
    headers = {
        "GIF": b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + bytes(6) + b",",
        "PNG": _tiny_png(side),
        "BMP": b"BM"
        + struct.pack("<IIIIiiHHIIiiII", 66, 0, 62, 40, side, side, 1, 1, 0, 0, 0, 0, 2, 2)
        + bytes(8),
        "PPM": b"P4\n%d %d\n" % (side, side),
    }
    data = headers[kind]
    if kind == "GIF":
        data += bytes(4) + struct.pack("<HH", side, side) + b"\0\2"
    for read in (decode_image,) if kind == "PPM" else (decode_image, decode_label):
        with pytest.raises(PictureError, match="cannot hold the 60000x60000"):
            read(data, "a")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "BMP"])
def test_a_picture_of_one_color_is_read_however_small_its_file_is(kind):
    file = io.BytesIO()
    Image.new("P", (4000, 3000)).save(file, kind)
    assert decode_label(file.getvalue(), "a").shape == (3000, 4000)


def _tiny_png(side):
    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    end = chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + end

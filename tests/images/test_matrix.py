"""Format by depth, kind of color, layout and orientation: each cell exact, or refused with a cause.

What is in the files is known without a decoder, because they are written here bit by bit. A photo
is what was written, reduced to 8 bits and upright; a mask is its very numbers.
"""

import itertools

import numpy as np
import pytest
from helpers import picture_files as files
from helpers.picture_files import GRAY, GRAY_ALPHA, PALETTE, RGB, RGBA

from psp.images.labels import decode_color_label, decode_label
from psp.images.orientation import swaps_sides, upright
from psp.images.pictures import check_image, decode_image
from psp.images.reading import PictureError
from psp.predict.photos import decode_photo

SHAPE = (13, 11)
ORIENTATIONS, FEW = range(1, 9), (1, 6)


def gray(levels):
    return np.repeat(levels.astype("u1")[..., None], 3, axis=2)


def levels(values, bits, used=None):
    """What values of so many bits look like with 8."""
    if bits < 8:
        return values * 255 // ((1 << bits) - 1)
    return values >> (used or bits) - 8


def check_photo(data, expected, orientation=1, stored=None):
    """A photo is read as expected in stored orientation by each of the ways in which it is read."""
    turned = upright(np.ascontiguousarray(expected), orientation)
    assert np.array_equal(decode_photo(data, "p"), turned)
    assert np.array_equal(decode_image(data, "p", turn=True), turned)
    height, width, tag = check_image(data, "p")
    assert (height, width) == (stored or expected.shape[:2])
    assert tag == orientation
    assert turned.shape[:2] == ((width, height) if swaps_sides(tag) else (height, width))


def label_or_none(data, read=decode_label):
    """The labels of a file; None where it is refused in a line that names it and the remedy."""
    try:
        return read(data, "m.x")
    except PictureError as error:
        assert str(error).startswith("m.x: ") and "\n" not in str(error)
        return None


PNG_KINDS = [(GRAY, bits) for bits in (1, 2, 4, 8, 16)] + [(PALETTE, bits) for bits in (1, 2, 4, 8)]
PNG_KINDS += [(color, bits) for color in (RGB, GRAY_ALPHA, RGBA) for bits in (8, 16)]


PNG_CELLS = [
    (color, bits, used, interlaced, transparent)
    for (color, bits), used, interlaced, transparent in itertools.product(
        PNG_KINDS, (None, 12), (False, True), (False, True)
    )
    if (bits == 16 or used is None) and not (transparent and color in (GRAY_ALPHA, RGBA))
]


@pytest.mark.parametrize(("color", "bits", "used", "interlaced", "transparent"), PNG_CELLS)
def test_png(rng, color, bits, interlaced, transparent, used):
    for orientation in FEW if interlaced or used else ORIENTATIONS:
        png_cell(rng, color, bits, interlaced, transparent, orientation, used)


def png_cell(rng, color, bits, interlaced, transparent, orientation, used):
    values = rng.integers(0, 1 << (used or bits), (*SHAPE, files.CHANNELS[color]))
    values[0, 0] = (1 << (used or bits)) - 1
    chunks = []
    if color == PALETTE:
        values[1, 1] = 0  # which is transparent
        palette = rng.integers(0, 256, (1 << bits, 3)).astype("u1")
        chunks.append((b"PLTE", palette.tobytes()))
    if transparent:
        key = values[3, 3].astype(">u2").tobytes()
        chunks.append((b"tRNS", bytes([0, 128]) if color == PALETTE else key))
    if orientation > 1:
        chunks.append((b"eXIf", files.exif(orientation)))
    data = files.png(values, color, bits, interlaced=interlaced, chunks=chunks)
    if color == PALETTE:
        expected = palette[values[..., 0]]
    elif color in (GRAY, GRAY_ALPHA):
        expected = gray(levels(values[..., 0], bits, used))
    else:
        expected = levels(values[..., :3], bits, used).astype("u1")
    check_photo(data, expected, orientation)
    label = label_or_none(data)
    if color in (GRAY, PALETTE):
        assert np.array_equal(label, values[..., 0])
    else:
        assert label is None
    colors = label_or_none(data, decode_color_label)
    if colors is not None:
        assert bits < 16 and (not transparent or (color == GRAY and bits in (2, 4)))
        assert np.array_equal(colors, expected.astype(int) @ (65536, 256, 1))


def tiff_kinds():
    """(name, bits, photometric, bands, planes) of the TIFFs that are read."""
    for bits in (1, 2, 4, 8, 16):
        yield f"gray{bits}", bits, 1, 1, 1
    for bits in (1, 2, 4, 8):
        yield f"palette{bits}", bits, 3, 1, 1
        yield f"white is zero {bits}", bits, 0, 1, 1
    for bits in (8, 16):
        yield f"rgb{bits}", bits, 2, 3, 1
        yield f"rgba{bits}", bits, 2, 4, 1
    yield "planar", 8, 2, 3, 3
    yield "gray alpha", 8, 1, 2, 1


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("bits", "photometric", "bands", "planes", "tile"),
    [
        pytest.param(*kind[1:], tile, id=f"{kind[0]} {tile}")
        for kind in tiff_kinds()
        for tile in ((0, 16) if kind[1] >= 8 else (0,))  # rows of tiles are whole bytes
    ],
)
def test_tiff(rng, bits, photometric, bands, planes, order, tile, compression):
    for orientation in ORIENTATIONS if compression == 1 and order == "<" else FEW:
        tiff_cell(rng, bits, photometric, bands, planes, order, tile, compression, orientation)


def tiff_cell(rng, bits, photometric, bands, planes, order, tile, compression, orientation):
    values = rng.integers(0, 1 << bits, (*SHAPE, bands))
    values[0, 0] = (1 << bits) - 1
    tags = {274: [orientation]}
    palette = rng.integers(0, 256, (3, 1 << bits)) if photometric == 3 else None
    if palette is not None:
        tags[320] = (palette * 257).ravel().tolist()
    if bands in (2, 4):
        tags[338] = [2]  # alpha that colors were not multiplied with
    split = [values] if planes == 1 else [values[..., band : band + 1] for band in range(bands)]
    data = files.tiff(
        split, bits, photometric, order=order, tile=tile, compression=compression, tags=tags
    )
    if palette is not None:
        expected = palette.T[values[..., 0]].astype("u1")
    elif bands < 3:
        shown = levels(values[..., 0], bits)
        expected = gray(255 - shown if photometric == 0 else shown)
    else:
        expected = levels(values[..., :3], bits).astype("u1")
    try:
        check_photo(data, expected, orientation)
    except PictureError as error:
        assert planes > 1 or photometric == 0, error
    label = label_or_none(data)  # Pillow turns a TIFF itself
    if bands == 1 and photometric != 0:
        assert np.array_equal(label, upright(values[..., 0], orientation))
    else:
        assert label is None
    colors = label_or_none(data, decode_color_label)
    if colors is not None:
        assert bits <= 8
        expected = upright(np.ascontiguousarray(expected), orientation)
        assert np.array_equal(colors, expected.astype(int) @ (65536, 256, 1))


BMP_NAMED = ("555 named", "565", "32 named", "BGRA", "RGBA", "ABGR")
BMP_CELLS = [
    (kind, header, top_down)
    for kind, header, top_down in itertools.product(
        ("555", "24", "32", *BMP_NAMED), (40, 56, 64, 108, 124), (False, True)
    )
    if not (header == 64 and kind in BMP_NAMED) and not (header == 40 and kind in BMP_NAMED[3:])
]
BMP_CELLS += [("24", 12, False)]


@pytest.mark.parametrize(("kind", "header", "top_down"), BMP_CELLS)
def test_bmp_of_colors(rng, kind, header, top_down):
    named = kind in BMP_NAMED
    pixels = rng.integers(0, 256, (*SHAPE, 3)).astype("u1")
    masks: tuple[int, ...] = ()
    if kind in ("555", "555 named", "565"):
        depths = (5, 6, 5) if kind == "565" else (5, 5, 5)
        parts = [pixels[..., c].astype(int) >> 8 - depths[c] for c in range(3)]
        expected = np.stack([levels(p, d) for p, d in zip(parts, depths, strict=True)], 2)
        masks = (0xF800, 0x7E0, 0x1F) if kind == "565" else (0x7C00, 0x3E0, 0x1F)
        values = sum(p << s for p, s in zip(parts, (depths[1] + 5, 5, 0), strict=True))
        data_values, bits = values.astype("<u2"), 16
    else:
        alpha = rng.integers(0, 256, (*SHAPE, 1)).astype("u1")
        expected, bits = pixels, 24 if kind == "24" else 32
        orders = {"RGBA": [0, 1, 2, 3], "ABGR": [3, 2, 1, 0]}
        data_values = np.concatenate([pixels, alpha], 2)[..., orders.get(kind, [2, 1, 0, 3])]
        data_values = np.ascontiguousarray(data_values[..., : bits // 8])
        masks = {
            "RGBA": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
            "ABGR": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
            "BGRA": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        }.get(kind, (0xFF0000, 0xFF00, 0xFF))
    masks = masks if named else ()
    if header > 40 and len(masks) == 3:
        masks = (*masks, 0)
    data = files.bmp(data_values, bits, masks, header=header, top_down=top_down)
    check_photo(data, expected.astype("u1"))
    assert label_or_none(data) is None  # colors


@pytest.mark.parametrize("comment", [b"", b"# made by a program 7 8\n# in two lines\n"])
@pytest.mark.parametrize("maximum", [1, 6, 7, 100, 255, 256, 1023, 4095, 65535])
@pytest.mark.parametrize(
    ("kind", "depth"),
    [(b"P2", 1), (b"P5", 1), (b"P3", 3), (b"P6", 3)] + [(b"P7", n) for n in (1, 2, 3, 4)],
)
def test_netpbm(rng, kind, maximum, comment, depth):
    values = rng.integers(0, maximum + 1, (*SHAPE, depth))
    values[0, 0] = maximum
    if kind == b"P7":
        data = files.pam(values, maximum)
    else:
        data = files.netpbm(kind, values, maximum, comment)
    shown = values[..., :3] if depth > 2 else values[..., :1].repeat(3, axis=2)
    for found in (decode_photo(data, "p"), decode_image(data, "p")):
        assert np.abs(found - shown * 255 / maximum).max() <= 1
    assert check_image(data, "p") == (*SHAPE, 1)
    label = label_or_none(data)
    if depth == 1:
        assert np.array_equal(label, values[..., 0])
    else:
        assert label is None
    colors = label_or_none(data, decode_color_label)
    assert (colors is None) == (maximum != 255 or depth in (2, 4))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda d: d[:-1], "ends early"),
        (lambda d: d.replace(b"\n9\n", b"\n5\n"), "above its maximum"),
        (lambda d: d.replace(b"11 13", b"11 x3"), "damaged"),
    ],
)
def test_a_damaged_pgm_is_no_mask(change, cause):
    data = files.netpbm(b"P5", np.full((*SHAPE, 1), 9), 9)
    with pytest.raises(PictureError, match=rf"m\.pgm.*{cause}"):
        decode_label(change(data), "m.pgm")

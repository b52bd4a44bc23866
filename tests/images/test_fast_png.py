"""Plain gray PNGs are decoded faster, into the very values, or left to Pillow."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from psp.images.encoding import encode_label
from psp.images.fast_png import fast_gray_png
from psp.images.labels import decode_label
from psp.images.reading import PictureError


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(rows, *, pixels=None, head=(8, 0, 0, 0, 0), extra=b""):
    """A PNG of rows (H, 1 + W), each with its filter; `pixels` replaces what is packed."""
    header = struct.pack(">II5B", rows.shape[1] - 1, len(rows), *head)
    packed = zlib.compress(rows.tobytes()) if pixels is None else pixels
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), extra, chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    )


@pytest.fixture
def rows(rng):
    rows = rng.integers(0, 256, (30, 41), dtype=np.uint8)
    rows[:, 0] = rng.integers(0, 5, 30)
    return rows


def test_the_values_are_those_of_pillow(rng, rows):
    label = rng.integers(0, 256, (45, 67), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(label).save(file, "PNG")
    for data in (file.getvalue(), encode_label(label)):
        assert np.array_equal(fast_gray_png(data), label)
        assert np.array_equal(decode_label(data, "x"), label)
    for data in (png(rows), png(rows, extra=chunk(b"tIME", bytes(7)))):  # all five filters
        found = fast_gray_png(data)
        assert np.array_equal(found, np.asarray(Image.open(io.BytesIO(data))))
        assert found.flags.writeable


def test_broken_files_are_left_to_pillow_which_refuses_them(rows, capfd):
    good, packed = png(rows), zlib.compress(rows.tobytes())
    wrong = rows.copy()
    wrong[5, 0] = 9
    for broken in (
        png(rows, pixels=packed[:-30]),
        png(rows, pixels=packed[:-1] + bytes([packed[-1] ^ 1])),
        png(rows, pixels=zlib.compress(rows.tobytes()[:-100])),
        png(rows, pixels=b""),
        png(wrong),
        good[:60] + bytes([good[60] ^ 1]) + good[61:],
        good[:-40],
    ):
        assert fast_gray_png(broken) is None
        with pytest.raises(PictureError):
            decode_label(broken, "x")
    assert capfd.readouterr() == ("", "")


def test_what_is_not_plain_is_left_to_pillow(rows):
    for other in (
        png(rows, extra=chunk(b"tRNS", b"\0\3")),
        png(rows, extra=chunk(b"gAMA", struct.pack(">I", 45_455))),
        png(rows) + b"more",
        b"",
        b"\x89PNG\r\n\x1a\n",
    ):
        assert fast_gray_png(other) is None
    huge = struct.pack(">II5B", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
    assert fast_gray_png(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", huge) + png(rows)[33:]) is None

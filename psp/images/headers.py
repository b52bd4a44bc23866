"""What a picture file's own header says about its pixels, before a decoder is trusted with them.

Decoders accept more than they read exactly: a BMP with two gray colors in whole bytes, a TIFF whose
bands are stored one after the other, a PNG whose notes are longer than a library's limit. Each
function here reads one format's header (its specification is named there) and says what is right:
the bytes to decode, the values themselves, or the reason why the file is refused.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

PNG = b"\x89PNG\r\n\x1a\n"
JPEG_END = b"\xff\xd9"
# Ancillary chunks that hold no pixels. Pillow refuses a file in which one is longer than a megabyte
# when unpacked.
_PNG_NOTES = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
_LONGEST_NOTE = 1 << 16  # bytes, packed or not; longer ones are left out

TIFF_GRAY_WHITE_IS_ZERO, TIFF_GRAY, TIFF_RGB, TIFF_PALETTE, TIFF_CMYK, TIFF_YCBCR = 0, 1, 2, 3, 5, 6
TIFF_JPEG = 7  # a compression
# Bands that the photometric interpretation names, and the bits that each may have.
_TIFF_KINDS = {
    TIFF_GRAY_WHITE_IS_ZERO: (1, {1, 2, 4, 8}),
    TIFF_GRAY: (1, {1, 2, 4, 8, 12, 16}),
    TIFF_RGB: (3, {8, 16}),
    TIFF_PALETTE: (1, {1, 2, 4, 8}),
    TIFF_CMYK: (4, {8}),
    TIFF_YCBCR: (3, {8}),
}


def checked_png(data: bytes) -> bytes:
    """Return a PNG file without its long notes, every checksum verified.

    Notes (tEXt, zTXt, iTXt, iCCP) hold no pixels, and decoders ignore the checksums of the chunks
    that do. Source: PNG specification, section 5. Raises ValueError for a truncated file and for a
    wrong checksum.
    """
    kept, at, kind, view = [data[: len(PNG)]], len(PNG), b"", memoryview(data)
    left_out = False
    while kind != b"IEND":
        try:
            length, kind = struct.unpack_from(">I4s", data, at)
            (expected,) = struct.unpack_from(">I", data, at + 8 + length)
        except struct.error:
            raise ValueError("truncated PNG file") from None
        end = at + 12 + length
        if zlib.crc32(view[at + 4 : end - 4]) != expected:
            raise ValueError(f"wrong checksum in chunk {kind!r}")
        if kind in _PNG_NOTES and _is_long(data[at + 8 : end - 4]):
            left_out = True
        else:
            kept.append(data[at:end])
        at = end
    return b"".join(kept) if left_out else data


def _is_long(note: bytes) -> bool:
    """Whether a note has more bytes than are kept, packed or unpacked."""
    if len(note) > _LONGEST_NOTE:
        return True
    packed = note.find(b"\x78")  # where a zlib stream may begin, behind the keyword
    if packed < 0:
        return False
    try:
        unpacked = zlib.decompressobj().decompress(note[packed:], _LONGEST_NOTE + 1)
    except zlib.error:
        return False  # a text
    return len(unpacked) > _LONGEST_NOTE


def png_bits(data: bytes) -> tuple[int, int | None]:
    """Return a PNG's bits a channel, and how many of them carry a value where it says so (sBIT)."""
    at, kind = len(PNG), b""
    while kind not in (b"IDAT", b"IEND"):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"sBIT" and length:
            return data[24], max(data[at + 8 : at + 8 + min(length, 3)])
        at += 12 + length
    return data[24], None


def bmp_indices(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Return the indices (H, W) of a BMP with a palette, and the palette (n, 3) RGB; None without.

    Source: Microsoft's BITMAPFILEHEADER, BITMAPCOREHEADER and BITMAPINFOHEADER. Raises ValueError
    for a truncated file and for run-length encoding, which is not read exactly everywhere.
    """
    offset, header = struct.unpack_from("<I I", data, 10)
    if header == 12:  # OS/2: 16-bit sides, palette entries of three bytes
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression, colors, entry = 0, 0, 3
    else:
        width, height, _, bits, compression, _, _, _, colors = struct.unpack_from(
            "<iiHHIIiiI", data, 18
        )
        entry = 4
    if bits not in (1, 2, 4, 8):
        return None
    if compression:
        raise ValueError("a BMP with run-length encoding; save it as PNG")
    top_down, height = height < 0, abs(height)
    row = (width * bits + 31) // 32 * 4  # rows are padded to four bytes
    if width <= 0 or height <= 0 or len(data) < offset + row * height:
        raise ValueError("truncated BMP file")
    colors = min(colors or 1 << bits, (offset - 14 - header) // entry)
    palette = np.frombuffer(data, np.uint8, colors * entry, 14 + header).reshape(-1, entry)
    packed = np.frombuffer(data, np.uint8, row * height, offset).reshape(height, row)
    if bits == 8:
        indices = packed
    else:  # the leftmost pixel is in the highest bits
        shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
        indices = ((packed[:, :, None] >> shifts) & ((1 << bits) - 1)).reshape(height, -1)
    indices = indices[:, :width] if top_down else indices[::-1, :width]
    return np.ascontiguousarray(indices), np.ascontiguousarray(palette[:, 2::-1])  # stored as BGR


def tiff_fault(tags: Mapping[int, Any]) -> str | None:
    """Return why a TIFF's pixels would not be read as they are, or None.

    `tags` are the first picture's, by number. Source: TIFF 6.0, sections 3 to 8 and 18.
    """
    bits, samples = tuple(tags.get(258, (1,))), int(tags.get(277, 1))
    photometric, form = int(tags.get(262, TIFF_GRAY)), set(tags.get(339, (1,)))
    extra = len(tags.get(338, ()))
    plain = samples == 1 and photometric != TIFF_GRAY_WHITE_IS_ZERO  # which Pillow does not invert
    if int(tags.get(284, 1)) == 2 and not plain:
        return "a planar TIFF: its bands are stored one after the other; save it interleaved"
    if form - {1, 4} or max(bits) > 16:
        kind = "floating-point" if 3 in form else "signed" if 2 in form else "whole"
        return f"a TIFF of {max(bits)}-bit {kind} numbers; save it with 8 bits"
    if photometric not in _TIFF_KINDS:
        return f"a TIFF of photometric interpretation {photometric}; save it as RGB"
    bands, depths = _TIFF_KINDS[photometric]
    if len(set(bits)) > 1 or bits[0] not in depths:
        shown = ", ".join(map(str, sorted(set(bits))))
        return f"a TIFF of {shown} bits a band with photometric interpretation {photometric}"
    spare = {TIFF_GRAY_WHITE_IS_ZERO: 0, TIFF_GRAY: 1}.get(photometric, max(extra, 1))  # as alpha
    if not bands <= samples <= bands + spare:
        return (
            f"a TIFF of {samples} bands whose header names {bands} (photometric interpretation "
            f"{photometric}): which are red, green and blue is not said; save it as RGB"
        )
    if photometric == TIFF_YCBCR and int(tags.get(259, 1)) != TIFF_JPEG:
        return "a TIFF of YCbCr colors without JPEG compression; save it as RGB"
    return None


def tiff_label_fault(tags: Mapping[int, Any]) -> str | None:
    """Return why a TIFF's values are not exactly the labels that were saved, or None."""
    bits, samples = tuple(tags.get(258, (1,))), int(tags.get(277, 1))
    if samples > 1:
        return None  # colors: the caller says so
    if int(tags.get(262, TIFF_GRAY)) == TIFF_GRAY_WHITE_IS_ZERO:
        return "a TIFF in which 0 is white is not exact"
    if bits[0] not in (8, 16, 32):
        return f"a TIFF of {bits[0]} bits a pixel is not exact"
    if bits[0] == 8 and set(tags.get(339, (1,))) - {1, 4}:
        return "a TIFF of signed 8-bit numbers is not exact"
    return None


def jpeg_has_one_scan(data: bytes) -> bool:
    """Whether a JPEG is baseline or extended sequential, with one scan: all pixels come in order.

    Source: ITU-T T.81, annex B: SOF0 and SOF1, a single SOS.
    """
    at, sequential = 2, False
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == 0xDA:
            return sequential and data.count(b"\xff\xda", at) == 1
        sequential = sequential or marker in (0xC0, 0xC1)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def jpegs_with_an_end(data: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG that lacks its end mark with one, twice: different bytes stand before it.

    Both decode to the same pixels if, and only if, nothing but the mark is missing: otherwise the
    bytes before it are taken for pixels.
    """
    body = data.rstrip(b"\0").removesuffix(b"\xff")
    return body + b"\0" * 64 + JPEG_END, body + b"\x55" * 64 + JPEG_END

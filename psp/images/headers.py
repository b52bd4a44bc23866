"""What a picture file's own header says about its pixels, before a decoder is trusted with them.

Decoders accept more than they read exactly: a BMP with two gray colors in whole bytes, a TIFF whose
bands are stored one after the other, a PNG whose notes are longer than a library's limit. Each
function here reads one format's header (its specification is named there) and says what is right:
the bytes to decode, the values themselves, or the reason why the file is refused.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

PNG = b"\x89PNG\r\n\x1a\n"
# Ancillary chunks that hold no pixels. Pillow refuses a file in which one is longer than a megabyte
# when unpacked.
_PNG_NOTES = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
_LONGEST_NOTE = 1 << 16  # bytes, packed or not; longer ones are left out
# Ancillary chunks on which pixels or their reading depend: transparency, orientation, depth.
_PNG_NEEDED = frozenset({b"tRNS", b"eXIf", b"sBIT", b"acTL", b"fcTL", b"fdAT"})
_END_CHUNK = b"\0\0\0\0IEND\xaeB`\x82"
_ORIENTATION = b"tiff:Orientation"  # in a note of XMP


def checked_png(data: bytes) -> bytes:
    """Return a PNG file without its long notes, and the checksums of all other chunks verified.

    Notes (tEXt, zTXt, iTXt, iCCP) hold no pixels, and decoders ignore the checksums of the chunks
    that do. A chunk that no pixel needs is left out if its checksum is wrong, and an end mark is
    added if nothing else is missing. Source: PNG specification, section 5. Raises ValueError for a
    truncated file and for a wrong checksum.
    """
    kept, at, kind, view = [data[: len(PNG)]], len(PNG), b"", memoryview(data)
    left_out = False
    while kind != b"IEND":
        try:
            length, kind = struct.unpack_from(">I4s", data, at)
            (expected,) = struct.unpack_from(">I", data, at + 8 + length)
        except struct.error:
            return b"".join([*kept, _end_of(data, kept, at)])
        end = at + 12 + length
        if kind == b"CgBI":
            raise ValueError(
                "a PNG as apps for iPhones have it inside (CgBI); save it again as PNG"
            )
        note = kind in _PNG_NOTES and _ORIENTATION not in data[at + 8 : end - 4]
        if zlib.crc32(view[at + 4 : end - 4]) != expected:
            if kind == b"IEND":
                return b"".join([*kept, _END_CHUNK])
            ancillary = kind[:1].islower() and kind not in _PNG_NEEDED and _is_plain(kind)
            if not (note or (ancillary and kind not in _PNG_NOTES)):
                raise ValueError(f"wrong checksum in chunk {kind!r}")
            left_out = True
        elif note and _is_long(data[at + 8 : end - 4]):
            left_out = True
        else:
            kept.append(data[at:end])
        at = end
    return b"".join(kept) if left_out else data


def _is_plain(kind: bytes) -> bool:
    """Whether a chunk's name is one: four letters, and not what a broken length leads to."""
    return kind.isalpha() and kind.isascii()


def _end_of(data: bytes, kept: list[bytes], at: int) -> bytes:
    """Return the end that a PNG lacks, if the chunks before `at` have all pixels.

    Raises ValueError if they do not.
    """
    if data[at + 4 : at + 8].startswith(b"ID"):  # a piece of a chunk of pixels
        raise ValueError("truncated PNG file")
    unpacking, found = zlib.decompressobj(), False
    for part in kept[1:]:
        if part[4:8] == b"IDAT":
            found = True
            rest = part[8:-4]
            while rest:
                unpacking.decompress(rest, 1 << 20)
                rest = unpacking.unconsumed_tail
    if not (found and unpacking.eof):
        raise ValueError("truncated PNG file")
    return _END_CHUNK


def lacks_png_end(data: bytes) -> bool:
    """Whether a file is a PNG without its end mark."""
    return data.startswith(PNG) and _END_CHUNK[4:] not in data[-4096:] and _END_CHUNK not in data


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


def checked_webp(data: bytes) -> bytes:
    """Return a WebP file, with the last byte that some programs forget: it only fills up.

    Source: RFC 9649, section 2.3. Raises ValueError for a truncated file.
    """
    stated = 8 + int.from_bytes(data[4:8], "little")
    if len(data) == stated - 1 and list(_webp_chunks(data))[-1][1] % 2:
        return data + b"\0"
    if len(data) < stated:
        raise ValueError(f"the file ends early: {len(data)} of {stated} bytes")
    return data


def is_webp(data: bytes) -> bool:
    """Whether a file's first bytes are a WebP's."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def webp_is_lossless(data: bytes) -> bool:
    """Whether a WebP of one picture is stored without loss."""
    kinds = {kind for kind, _ in _webp_chunks(data)}
    return b"VP8L" in kinds and not kinds & {b"VP8 ", b"ANIM", b"ANMF"}


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the name and size of each chunk."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], size
        at += 8 + size + size % 2


def jpeg_2000_bits(data: bytes) -> int:
    """Return the bits a color of a JPEG 2000, 8 if they are not found. Source: T.800, A.5.1."""
    at = data.find(b"\xff\x4f\xff\x51")  # start of the codestream, and its sizes
    return (data[at + 42] & 0x7F) + 1 if 0 <= at < len(data) - 42 else 8


def gif_frame_fills_the_screen(data: bytes) -> bool:
    """Whether a GIF's first frame covers the whole screen: the rest would be given a value.

    Source: GIF89a specification, sections 18 to 24.
    """
    screen, flags = struct.unpack_from("<HH", data, 6), data[10]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while at < len(data) and data[at] == 0x21:  # extensions, of sub-blocks
        at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    if at + 9 > len(data) or data[at] != 0x2C:
        return True  # the decoder says what is wrong
    return struct.unpack_from("<HHHH", data, at + 1) == (0, 0, *screen)

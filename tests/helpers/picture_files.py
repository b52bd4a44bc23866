"""Picture files written bit by bit from their specifications, so that what is in them is known."""

import io
import struct
import zlib

import numpy as np

PNG = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6  # color types of PNG
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
# First column and row of each pass of PNG's interlacing, and the steps.
PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip


def saved(picture, kind="PNG", **options):
    """Return a Pillow picture as the bytes of a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation, order=">"):
    """Return EXIF data with nothing but an orientation."""
    mark = b"MM" if order == ">" else b"II"
    return mark + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def packed(values, bits, order=">"):
    """Return a row of values with so many bits each, the leftmost in the highest bits."""
    values = np.asarray(values).ravel()
    if bits == 16:
        return values.astype(f"{order}u2").tobytes()
    if bits == 8:
        return values.astype("u1").tobytes()
    digits = (values[:, None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(digits.astype("u1").ravel()).tobytes()


def chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def png(values, color, bits, *, interlaced=False, chunks=()):
    """Return a PNG of values (H, W, channels); `chunks` stand before the pixels."""
    height, width = values.shape[:2]
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    parts = [values[y::dy, x::dx] for x, y, dx, dy in passes]
    rows = b"".join(b"\0" + packed(row, bits) for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced)
    middle = b"".join(chunk(kind, content) for kind, content in chunks)
    end = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return PNG + chunk(b"IHDR", header) + middle + end


def bmp(values, bits, masks=(), *, header=40, top_down=False):
    """Return a BMP of packed colors: uint16 (H, W), or bytes (H, W, 3 or 4) in the file's order."""
    height, width = values.shape[:2]
    rows = [row.tobytes() for row in (values if top_down else values[::-1])]
    pixels = b"".join(row + bytes(-len(row) % 4) for row in rows)
    named = struct.pack(f"<{len(masks)}I", *masks)
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        sides = (width, -height if top_down else height)
        compression = 3 if masks else 0
        head = struct.pack(
            "<IiiHHIIiiII", header, *sides, 1, bits, compression, len(pixels), 1, 1, 0, 0
        )
        head = (head + (named if header > 40 else b"")).ljust(header, b"\0")
    after = named if header == 40 else b""
    offset = 14 + len(head) + len(after)
    start = b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset)
    return start + head + after + pixels


def tiff(planes, bits, photometric, *, order="<", tile=0, compression=1, tags=None):
    """Return a TIFF of one array (H, W, bands), or of several for a planar one.

    It is one strip a plane, or square tiles. Compression is none (1) or deflate (8).
    """
    height, width, bands = planes[0].shape
    blocks = []
    for plane in planes:
        pad = ((0, -height % tile), (0, -width % tile), (0, 0)) if tile else ((0, 0),) * 3
        full = np.pad(plane, pad)
        size = (tile, tile) if tile else (height, width)
        for y in range(0, full.shape[0], size[0]):
            for x in range(0, full.shape[1], size[1]):
                block = full[y : y + size[0], x : x + size[1]]
                data = b"".join(packed(row, bits, order) for row in block)
                blocks.append(zlib.compress(data) if compression == 8 else data)
    samples = bands * len(planes)
    fields = {
        256: [width], 257: [height], 258: [bits] * samples, 259: [compression],
        262: [photometric], 277: [samples], 284: [2 if len(planes) > 1 else 1], **(tags or {}),
    }  # fmt: skip
    places, sizes = (324, 325) if tile else (273, 279)
    fields |= {322: [tile], 323: [tile]} if tile else {278: [height]}
    fields |= {places: [0] * len(blocks), sizes: [len(block) for block in blocks]}
    return _tiff_file(fields, blocks, places, order)


def _tiff_file(fields, blocks, places, order):
    outside_at = 8 + 2 + 12 * len(fields) + 4
    outside, entries = {}, []
    size = 0
    for tag, values in sorted(fields.items()):
        kind = "I" if tag in (273, 279, 324, 325) else "H"
        length = struct.calcsize(kind) * len(values)
        if length > 4:
            outside[tag] = outside_at + size
            size += length + length % 2
        entries.append((tag, kind, values))
    at = outside_at + size
    fields[places][:] = [at + sum(map(len, blocks[:index])) for index in range(len(blocks))]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(fields))
    block = bytearray(size)
    for tag, kind, values in entries:
        data = struct.pack(f"{order}{len(values)}{kind}", *values)
        if tag in outside:
            start = outside[tag] - outside_at
            block[start : start + len(data)] = data
            data = struct.pack(f"{order}I", outside[tag])
        number = 4 if kind == "I" else 3
        head += struct.pack(f"{order}HHI", tag, number, len(values)) + data.ljust(4, b"\0")
    return head + bytes(4) + bytes(block) + b"".join(blocks)


def netpbm(kind, values, maximum, comment=b""):
    """Return a PGM or PPM, plain (P2, P3) or packed (P5, P6)."""
    height, width = values.shape[:2]
    head = kind + b"\n" + comment + b"%d %d\n%d\n" % (width, height, maximum)
    if kind in (b"P2", b"P3"):
        return (
            head + b"\n".join(b" ".join(b"%d" % v for v in row.ravel()) for row in values) + b"\n"
        )
    return head + values.astype(">u2" if maximum > 255 else "u1").tobytes()


def pam(values, maximum):
    """Return a PAM of values (H, W, depth)."""
    height, width, depth = values.shape
    names = {1: b"GRAYSCALE", 2: b"GRAYSCALE_ALPHA", 3: b"RGB", 4: b"RGB_ALPHA"}
    head = b"P7\n# made here\nWIDTH %d\nHEIGHT %d\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n"
    data = values.astype(">u2" if maximum > 255 else "u1").tobytes()
    return head % (width, height, depth, maximum, names[depth]) + data

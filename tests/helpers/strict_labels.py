"""Label files decoded a second time, by the formats' descriptions and more strictly than psp does.

Nothing of psp is used here, and of the picture libraries only what no label of the official data
sets needs. `label_values` returns the integers that a file holds or raises NotLabelError.
"""

import io
import struct
import zlib
from functools import lru_cache

import h5py
import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
KINDS = {b"IHDR", b"PLTE", b"tRNS", b"IEND"}  # chunks of which there is one
HDF5 = b"\x89HDF\r\n\x1a\n"
EXACT = {"BMP", "GIF", "PPM", "TIFF"}  # formats besides PNG that can hold values exactly
EXACT_TIFF = {"raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"}


class NotLabelError(Exception):
    """The bytes are no label: broken, lossy, colored, or no matrix of whole numbers."""


def need(condition, reason):
    if not condition:
        raise NotLabelError(reason)


@lru_cache(4096)
def label_values(data, suffix=".png", variable="", colors=False):
    """The raw values of a label file's bytes: an integer array (height, width)."""
    try:
        if suffix == ".mat":
            return mat_values(data, variable)
        if data.startswith(PNG):
            return png_values(data, colors)
        return other_values(data, colors)
    except NotLabelError:
        raise
    except Exception as error:
        raise NotLabelError(f"{type(error).__name__}: {error}") from error


# ------------------------------------------------------------------------------------- pictures


def png_chunks(data):
    """{kind: content} of a PNG with every checksum right; the pixels' chunks are joined.

    IEND holds nothing: what is wrong with it alone has lost nothing.
    """
    need(data.startswith(PNG), "no PNG")
    place, chunks = 8, {}
    while True:
        end = data[place : place + 8]
        if b"IDAT" in chunks and (len(data) - place <= 12 or end == b"\0\0\0\0IEND"):
            break
        need(place + 12 <= len(data), "PNG ends early")
        length, kind = struct.unpack(">I4s", end)
        content = data[place + 8 : place + 8 + length]
        need(place + 12 + length <= len(data), "PNG ends inside a chunk")
        (check,) = struct.unpack_from(">I", data, place + 8 + length)
        need(zlib.crc32(kind + content) == check, f"checksum of {kind!r}")
        same = kind not in KINDS or chunks.get(kind, content) == content
        need(same, f"{kind!r} comes twice and differs")
        chunks[kind] = chunks.get(kind, b"") + content if kind == b"IDAT" else content
        place += 12 + length
    need(b"IHDR" in chunks, "PNG without a header")
    return chunks


@lru_cache(4096)
def png_rows(data):
    """(width, depth, color type, rows as uint8 (height, bytes)) of a PNG that is not interlaced."""
    chunks = png_chunks(data)
    width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    need(interlace == 0, "interlaced")
    need(width * height < 1 << 24, "too large to be one of ours")
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    step = max(1, samples * depth // 8)
    line = -(-width * samples * depth // 8)
    inflater = zlib.decompressobj()
    stream = inflater.decompress(chunks[b"IDAT"])
    need(inflater.eof, "the pixels' stream ends early")
    need(len(stream) == height * (line + 1), "too many or too few pixels")
    coded = np.frombuffer(stream, np.uint8).reshape(height, line + 1)
    rows = np.zeros((height + 1, line + step), np.int64)  # zeros above and left
    for number, (kind, *values) in enumerate(coded.tolist()):
        above, row = rows[number].tolist(), [0] * step + values
        for at in range(step, len(row)):
            left, up, corner = row[at - step], above[at], above[at - step]
            row[at] = (row[at] + predicted(kind, left, up, corner)) & 255
        rows[number + 1] = row
    return width, depth, color, rows[1:, step:].astype(np.uint8)


def predicted(kind, left, up, corner):
    """PNG's filters: none, sub, up, average, Paeth."""
    if kind < 4:
        return (0, left, up, (left + up) // 2)[kind]
    need(kind == 4, "unknown filter")
    guess = left + up - corner
    distances = abs(guess - left), abs(guess - up), abs(guess - corner)
    return (left, up, corner)[distances.index(min(distances))]


def png_values(data, colors):
    width, depth, color, rows = png_rows(data)
    if colors and color in (2, 6) and depth == 8:
        pixels = rows.reshape(len(rows), width, -1).astype(np.int64)
        need(color == 2 or pixels[..., 3].min() == 255, "partly transparent")
        need(b"tRNS" not in png_chunks(data), "partly transparent")
        return pixels[..., :3] @ [65536, 256, 1]
    need(color in (0, 3), "a picture of colors, or with alpha")
    if depth == 16:
        values = rows.view(">u2").astype(np.int64)
    else:
        bits = np.unpackbits(rows, axis=1).reshape(len(rows), -1, depth)
        values = (bits @ (1 << np.arange(depth)[::-1]))[:, :width].astype(np.int64)
    if not colors:
        return values
    need(depth == 8, "a label of colors in fewer or more than 8 bits")
    if color == 0:
        return values * 0x010101
    palette = png_chunks(data)[b"PLTE"]
    need(b"tRNS" not in png_chunks(data), "partly transparent")
    table = np.frombuffer(palette, np.uint8).reshape(-1, 3) @ np.array([65536, 256, 1])
    return table[values]


def other_values(data, colors):
    """Labels that are no PNG, in formats that keep values; one picture, no scaling."""
    with Image.open(io.BytesIO(data)) as picture:
        need(picture.format in EXACT, f"{picture.format} is lossy, or no format of labels")
        need(getattr(picture, "n_frames", 1) == 1, "several pictures in one file")
        if picture.format == "TIFF":
            need(picture.info.get("compression", "raw") in EXACT_TIFF, "lossy compression")
            need(picture.tag_v2.get(262, 1) != 0, "0 is white: values are turned round")
            if picture.tag_v2.get(258, (8,))[0] not in (8, 16):  # Pillow spreads these
                return few_bits(picture.tag_v2, data, picture.size)
        if picture.format == "PPM":
            top = int(data.split(maxsplit=4)[3])
            if top not in (255, 65535):  # Pillow spreads these
                return netpbm_values(data, picture.size, top)
        picture.load()
        if colors:
            need(picture.mode in ("RGB", "P", "L"), picture.mode)
            return np.asarray(picture.convert("RGB")).astype(np.int64) @ [65536, 256, 1]
        need(picture.mode in ("L", "P", "I;16", "I;16B", "I"), f"mode {picture.mode}")
        return np.asarray(picture).astype(np.int64)


def few_bits(tags, data, size):
    """The values of a gray TIFF of 1, 2 or 4 bits without compression: rows fill whole bytes."""
    width, height = size
    depth = tags[258][0]
    need(tags.get(259, 1) == 1 and depth in (1, 2, 4), "several bits, or compressed")
    parts = zip(tags[273], tags[279], strict=True)
    content = b"".join(data[start : start + length] for start, length in parts)
    rows = np.frombuffer(content, np.uint8).reshape(height, -1)
    bits = np.unpackbits(rows, axis=1)[:, : width * depth].reshape(height, width, depth)
    return (bits @ (1 << np.arange(depth)[::-1])).astype(np.int64)


def netpbm_values(data, size, top):
    """The values of a gray Netpbm file: as bytes (P5) or as numbers (P2), up to `top`."""
    need(top < 256, "two bytes a value")
    width, height = size
    kind = data[:2]
    need(kind in (b"P2", b"P5"), "a picture of colors")
    rest = data.split(maxsplit=4)[4] if kind == b"P2" else data[-width * height :]
    values = [int(word) for word in rest.split()] if kind == b"P2" else list(rest)
    return np.array(values, np.int64).reshape(height, width)


# ------------------------------------------------------------------------------ MATLAB's files

STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
COMPRESSED, MATRIX, STRUCT, NUMBERS = 15, 14, 2, range(6, 16)


def mat_values(data, variable):
    if HDF5 in (data[:8], data[512:520]):
        value = v73_values(data, variable)
    elif data[124:128] == b"\x00\x01IM":
        value = v5_variables(data)
        for part in variable.split("."):
            need(isinstance(value, dict) and part in value, f"no {variable}")
            value = value[part]
    else:
        value = v4_variables(data).get(variable)
    need(isinstance(value, np.ndarray) and value.ndim == 2 and value.size, "no matrix")
    need(value.dtype.kind in "uif", f"a matrix of {value.dtype}")
    need(value.dtype.kind != "f" or np.isfinite(value).all(), "not finite")
    need(value.dtype.kind != "f" or (value == np.floor(value)).all(), "not whole")
    need(value.min() >= 0 and value.max() < 1 << 24, "no values of labels")
    return value.astype(np.int64)


def v73_values(data, variable):
    with h5py.File(io.BytesIO(data), "r") as file:
        item = file.get(variable.replace(".", "/"))
        need(isinstance(item, h5py.Dataset) and item.size < 1 << 24, f"no {variable}")
        need("MATLAB_empty" not in item.attrs, "empty")
        return item[()].T


def v5_variables(data):
    """{name: array, or {field: …} of a 1 x 1 struct, or None} of a MATLAB 5 file."""
    found = {}
    for kind, content in elements(data[128:]):
        if kind == COMPRESSED:
            inflater = zlib.decompressobj()
            content = inflater.decompress(content)
            need(inflater.eof and not inflater.unused_data, "a deflated variable ends early")
            ((kind, content),) = elements(content)
        need(kind == MATRIX, f"element of type {kind}")
        name, value = matrix(content)
        need(name not in found, f"{name} comes twice")
        found[name] = value
    return found


def elements(data):
    """[(type, content)] of a run of elements; small ones have both in their eight bytes."""
    found, place = [], 0
    while place < len(data):
        need(place + 8 <= len(data), "ends inside a tag")
        kind, length = struct.unpack_from("<II", data, place)
        if kind >> 16:
            need(kind >> 16 <= 4, "a small element of more than four bytes")
            found.append((kind & 0xFFFF, data[place + 4 : place + 4 + (kind >> 16)]))
            place += 8
            continue
        need(place + 8 + length <= len(data), "ends inside an element")
        found.append((kind, data[place + 8 : place + 8 + length]))
        place += 8 + length
        if kind != COMPRESSED:
            place += -length % 8
    return found


def matrix(content):
    """(name, value) of a matrix element; the value of what can be no label is None."""
    if not content:
        return "", None
    (_, flags), (_, dimensions), (_, name), *rest = elements(content)
    kind, shape = flags[0], np.frombuffer(dimensions, "<i4")
    name = name.decode("ascii")
    if kind == STRUCT and shape.tolist() == [1, 1]:
        size = struct.unpack("<i", rest[0][1])[0]
        fields = [rest[1][1][at : at + size] for at in range(0, len(rest[1][1]), size)]
        names = [field.split(b"\0")[0].decode("ascii") for field in fields]
        values = [matrix(inner)[1] for _, inner in rest[2:]]
        return name, dict(zip(names, values, strict=True))
    if kind not in NUMBERS or flags[1] & 0x08 or len(rest) != 1:  # 0x08: complex
        return name, None
    stored, values = rest[0]
    array = np.frombuffer(values, "<" + STORED[stored])
    need(array.size == np.prod(shape, dtype=float), "too many or too few values")
    return name, array.reshape(shape, order="F")


def v4_variables(data):
    """{name: array} of a MATLAB 4 file of full matrices, little-endian."""
    found, place = {}, 0
    while place < len(data):
        kind, rows, columns, imaginary, length = struct.unpack_from("<5i", data, place)
        need(0 <= kind < 60 and kind % 10 == 0 and not imaginary, "no MATLAB file")
        place += 20
        name = data[place : place + length].split(b"\0")[0].decode("ascii")
        stored = np.dtype(("<f8", "<f4", "<i4", "<i2", "<u2", "<u1")[kind // 10])
        place += length
        need(rows * columns * stored.itemsize <= len(data) - place, "ends early")
        array = np.frombuffer(data, stored, rows * columns, place)
        found[name] = array.reshape(rows, columns, order="F")
        place += array.nbytes
    return found

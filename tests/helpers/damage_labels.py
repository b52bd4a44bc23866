"""Label pictures of other modes, depths, formats, values and sizes."""

import io
import struct

import numpy as np
from helpers.damage_tools import (
    any_pair,
    as_colors,
    as_label,
    chunk,
    damage,
    encoded,
    gray,
    known,
    packed,
    pick,
    png,
    put,
    save_labels,
    unknown_value,
    values_of,
)
from PIL import Image


@damage("label of another mode", "png")
def label_mode(tree, rng):
    path = any_pair(tree, rng)[1]
    picture = Image.open(io.BytesIO(path.read_bytes()))
    mode = pick(["RGB", "RGBA", "LA", "1", "P", "PA"], rng)
    picture = picture.convert(mode)
    put(path, encoded(picture, "TIFF" if mode == "PA" else "PNG"))
    return [path]


@damage("label with transparency", "png")
def label_alpha(tree, rng):
    path = any_pair(tree, rng)[1]
    values = values_of(tree, path)
    if "colors" in tree.traits:
        picture = as_colors(values).convert("RGBA")
        picture.putpixel((0, 0), (*picture.getpixel((0, 0))[:3], int(rng.integers(255))))
        put(path, encoded(picture, "PNG"))
    else:
        picture = gray(values)
        put(path, encoded(picture, "PNG", transparency=int(values[0, 0])))
    return [path]


@damage("label of 1, 2, 4, 16 bits", "values")
def label_depth(tree, rng):
    path = any_pair(tree, rng)[1]
    values = values_of(tree, path)
    depth = pick([1, 2, 4, 16], rng)
    raws = [value for value in known(tree) if value < 1 << depth]
    values = np.array(raws)[values % len(raws)]
    before = chunk(b"tEXt", b"a\0b") if rng.integers(4) == 0 else b""
    put(path, png(values.shape, depth, 0, packed(values, depth), before))
    return [path]


@damage("label of floats", "png")
def label_float(tree, rng):
    path = any_pair(tree, rng)[1]
    values = values_of(tree, path).astype(np.float32)
    put(path, encoded(Image.fromarray(values + pick([0, 0.25], rng)), "TIFF"))
    return [path]


@damage("label in a lossy format", "png")
def label_lossy(tree, rng):
    path = any_pair(tree, rng)[1]
    values = values_of(tree, path)
    picture = as_colors(values) if "colors" in tree.traits else gray(values)
    kinds = {
        "JPEG": {"quality": 95},
        "WEBP": {"quality": 95},
        "MPO": {"quality": 95},
        "JPEG2000": {"irreversible": True, "quality_layers": [20]},
        "AVIF": {"quality": 95},
        "TIFF": {"compression": "jpeg", "quality": 95},
    }
    name = pick(list(kinds), rng)
    if name == "MPO":
        put(path, encoded(picture, name, save_all=True, append_images=[picture], **kinds[name]))
    else:
        put(path, encoded(picture, name, **kinds[name]))
    return [path]


@damage("label in a format that scales values", "values")
def label_scaled(tree, rng):
    """Decoders spread these to 0..255, and 255 is a known value of some cards."""
    path = any_pair(tree, rng)[1]
    values = values_of(tree, path)
    values = (values > np.median(values)).astype(int)
    width, height = values.shape[::-1]
    kind = pick(["PGM", "ASCII", "TIFF", "WHITE"], rng)
    if kind == "PGM":
        put(path, b"P5 %d %d 1\n" % (width, height) + values.astype(np.uint8).tobytes())
    elif kind == "ASCII":
        put(path, b"P2 %d %d 1\n" % (width, height) + b" ".join(b"%d" % v for v in values.flat))
    else:
        depth = 8 if kind == "WHITE" else pick([2, 4], rng)
        top = 1 if kind == "WHITE" else (1 << depth) - 1
        put(path, tiff(values * top, depth, white_is_zero=kind == "WHITE"))
    return [path]


def tiff(values, depth, *, white_is_zero):
    """A gray TIFF by hand."""
    rows = packed(values, depth)
    line = len(rows) // len(values)
    content = b"".join(rows[at + 1 : at + line] for at in range(0, len(rows), line))
    tags = [
        (256, values.shape[1]),
        (257, values.shape[0]),
        (258, depth),
        (259, 1),
        (262, 0 if white_is_zero else 1),
        (273, 8),
        (277, 1),
        (278, values.shape[0]),
        (279, len(content)),
    ]
    content += bytes(len(content) % 2)
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(content))
    return head + content + struct.pack("<H", len(tags)) + table + bytes(4)


@damage("label of several pictures", "png")
def label_pages(tree, rng):
    path = any_pair(tree, rng)[1]
    values = values_of(tree, path)
    first, second = (
        as_colors(part) if "colors" in tree.traits else gray(part)
        for part in (values, values[::-1])
    )
    kind = pick(["TIFF", "PNG"], rng)
    put(path, encoded(first, kind, save_all=True, append_images=[second]))
    return [path]


@damage("label with an unknown value")
def label_value(tree, rng):
    path = any_pair(tree, rng)[1]
    values = values_of(tree, path)
    values[int(rng.integers(len(values))), int(rng.integers(values.shape[1]))] = (
        0x123457 if "colors" in tree.traits else unknown_value(tree)
    )
    if path.suffix == ".mat":
        save_labels(tree, path, values.astype(np.uint16))
    else:
        put(path, as_label(tree, values))
    return [path]


@damage("label turned, or one pixel off")
def label_shape(tree, rng):
    image, path = any_pair(tree, rng)
    values = values_of(tree, path)
    turn = pick([np.transpose, np.rot90, lambda v: v[1:], lambda v: np.vstack([v[:1], v])], rng)
    values = np.ascontiguousarray(turn(values))
    if path.suffix == ".mat":
        save_labels(tree, path, values.astype(np.uint16))
    else:
        put(path, as_label(tree, values))
    return [image, path]


@damage("palette label saved as gray or quantized", "values")
def label_gray(tree, rng):
    path = any_pair(tree, rng)[1]
    colors = np.zeros((256, 3), np.uint8)
    for entry in tree.card.classes:
        for raw in entry.raw:
            if raw < 256:
                colors[raw] = entry.color
    picture = Image.fromarray(colors[values_of(tree, path) & 255])
    kinds = [picture.convert("L"), picture.quantize(256), picture.convert("P")]
    put(path, encoded(pick(kinds, rng), "PNG"))
    return [path]


@damage("PNG with odd chunks", "png")
def label_chunks(tree, rng):
    path = any_pair(tree, rng)[1]
    data = path.read_bytes()
    kind = pick(["no end", "more behind", "bad checksum", "two headers", "less pixels"], rng)
    if kind == "no end":
        data = data[:-12]
    elif kind == "more behind":
        data += b"trailing"
    elif kind == "bad checksum":
        data = data[:29] + bytes([data[29] ^ 1]) + data[30:]
    elif kind == "two headers":
        data = data[:33] + data[8:33] + data[33:]
    else:
        values = values_of(tree, path) & 255
        data = png((len(values) + 3, values.shape[1]), 8, 0, packed(values, 8))
    put(path, data)
    return [path]

"""Ways to break a copy of a miniature official tree: one function a way, drawn from a generator.

A function gets the copied tree (see fuzz.py) and a generator, changes files in place, and returns
the paths that a refusal may name. `DAMAGES` lists them in the order of the table that fuzz.py
prints; `needs` says which trees a way is for.
"""

import io
import os
import struct
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from helpers.matlab_trees import gt_cls, save_mat
from helpers.strict_labels import PNG, label_values
from PIL import Image, ImageSequence
from scipy import sparse
from scipy.io import savemat


@dataclass(frozen=True)
class Damage:
    """One way: `needs` is a trait of a tree ("" for all)."""

    needs: str
    work: Callable


DAMAGES: dict[str, Damage] = {}


def way(name, needs=""):
    def note(work):
        DAMAGES[name] = Damage(needs, work)
        return work

    return note


# ------------------------------------------------------------------------------------ small help


def put(path, content):
    """Replace a file by bytes. Never write through a link."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def clear(path):
    """Move a file or folder out of the way, to a name that no layout looks at."""
    path.rename(path.with_name(f".{path.name}.away"))


def pick(items, rng):
    return items[int(rng.integers(len(items)))]


def labels(tree):
    """Every (image, label) that has both."""
    return [pair for names in tree.pairs.values() for pair in names.values() if pair[1]]


def any_pair(tree, rng):
    return pick(labels(tree), rng)


def any_file(tree, rng):
    """An image, a label, or a list."""
    kind = int(rng.integers(3 if tree.lists else 2))
    return pick(tree.lists, rng) if kind == 2 else any_pair(tree, rng)[kind]


def values_of(tree, path):
    return np.array(
        label_values(path.read_bytes(), path.suffix, tree.variable(path), "colors" in tree.traits)
    )


def known(tree):
    """Raw values that the tree's card knows and one byte holds."""
    return [value for value in sorted(tree.card.raw_to_id()) if value < 256]


def unknown_value(tree):
    raws = tree.card.raw_to_id()
    return next((value for value in range(255, -1, -1) if value not in raws), max(raws) + 1)


def encoded(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def gray(values):
    return Image.fromarray(values.astype(np.uint8))


def as_colors(values):
    parts = [values >> 16, values >> 8 & 255, values & 255]
    return Image.fromarray(np.stack(parts, axis=2).astype(np.uint8))


def as_label(tree, values):
    """The values as a plain label file's bytes."""
    return encoded(as_colors(values) if "colors" in tree.traits else gray(values), "PNG")


def chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def png(shape, depth, color, content, before=b"", end=True):
    """A PNG by hand: `content` is what IDAT inflates to, `before` chunks ahead of IHDR."""
    head = struct.pack(">IIBBBBB", shape[1], shape[0], depth, color, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(content))
    return PNG + before + body + (chunk(b"IEND", b"") if end else b"")


def packed(values, depth):
    """Rows of `depth` bits a value, each led by filter 0."""
    bits = (values[..., None] >> np.arange(depth)[::-1] & 1).astype(np.uint8)
    rows = np.packbits(bits.reshape(len(values), -1), axis=1)
    return np.pad(rows, ((0, 0), (1, 0))).tobytes()


def save_labels(tree, path, values, **others):
    """The matrix in the tree's kind of .mat file."""
    first, *field = tree.variable(path).split(".")
    value = {field[0]: values} if field else values
    path.unlink(missing_ok=True)
    savemat(path, {first: value, **others}, do_compression=True)


# ---------------------------------------------------------------------------------- bytes of files


def cut(path, rng):
    data = path.read_bytes()
    if len(data) > 1:
        put(path, data[: int(rng.integers(1, len(data)))])
    return [path]


def flip(path, rng):
    data = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 4))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    put(path, bytes(data))
    return [path]


@way("image cut short")
def image_cut(tree, rng):
    return cut(any_pair(tree, rng)[0], rng)


@way("label cut short")
def label_cut(tree, rng):
    return cut(any_pair(tree, rng)[1], rng)


@way("list cut short", "list")
def list_cut(tree, rng):
    return cut(pick(tree.lists, rng), rng)


@way("image with flipped bits")
def image_flip(tree, rng):
    return flip(any_pair(tree, rng)[0], rng)


@way("label PNG with flipped bits", "png")
def label_flip(tree, rng):
    return flip(any_pair(tree, rng)[1], rng)


@way("label .mat with flipped bits", "mat")
def mat_flip(tree, rng):
    return flip(any_pair(tree, rng)[1], rng)


@way("list with flipped bits", "list")
def list_flip(tree, rng):
    return flip(pick(tree.lists, rng), rng)


@way("file emptied")
def emptied(tree, rng):
    path = any_file(tree, rng)
    put(path, b"")
    return [path]


@way("file of zeros, of text, of a program")
def nonsense(tree, rng):
    path = any_file(tree, rng)
    size = path.stat().st_size
    put(path, pick([bytes(size), b"<html>404</html>\n", rng.bytes(size), PROGRAM], rng))
    return [path]


# Pillow hands PostScript to Ghostscript, which runs it.
PROGRAM = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


# -------------------------------------------------------------------------------- files and names


@way("labels swapped")
def swapped(tree, rng):
    found = labels(tree)
    one, two = (found[int(at)] for at in rng.choice(len(found), 2, replace=False))
    first, second = one[1].read_bytes(), two[1].read_bytes()
    if one[1].suffix != two[1].suffix:  # SBD's, and VOC's own
        return []
    put(one[1], second)
    put(two[1], first)
    return [*one, *two]


@way("image or label renamed")
def renamed(tree, rng):
    path = any_pair(tree, rng)[int(rng.integers(2))]
    other = pick([f"x{path.name}", f"{path.stem}.bak", f"{path.name}.orig", path.stem], rng)
    path.rename(path.with_name(other))
    return [path, path.with_name(other)]


@way("image or label missing")
def missing(tree, rng):
    path = any_pair(tree, rng)[int(rng.integers(2))]
    path.unlink()
    return [path]


@way("folder in place of a file")
def folder_for_file(tree, rng):
    path = any_file(tree, rng)
    path.unlink()
    path.mkdir()
    return [path]


@way("FIFO in place of a file")
def fifo_for_file(tree, rng):
    path = any_file(tree, rng)
    path.unlink()
    os.mkfifo(path)
    return [path]


@way("link to nothing or to itself in place of a file")
def link_for_file(tree, rng):
    path = any_file(tree, rng)
    path.unlink()
    path.symlink_to(pick(["nowhere", path.name, "/dev/null"], rng))
    return [path]


def any_folder(tree, rng):
    return any_file(tree, rng).parent


@way("file or FIFO in place of a folder")
def file_for_folder(tree, rng):
    path = any_folder(tree, rng)
    if path == tree.root:
        return []
    clear(path)
    pick([path.touch, lambda: os.mkfifo(path)], rng)()
    return [path, tree.root, *([tree.sbd] if tree.sbd else [])]


@way("link to nothing or to itself in place of a folder")
def link_for_folder(tree, rng):
    path = any_folder(tree, rng)
    if path == tree.root:
        return []
    clear(path)
    path.symlink_to(pick(["nowhere", path.name, ".."], rng))
    return [path, tree.root, *([tree.sbd] if tree.sbd else [])]


@way("link to a folder above, inside a folder")
def link_inside(tree, rng):
    path = any_pair(tree, rng)[int(rng.integers(2))].parent
    (path / "again").symlink_to(pick([".", "..", tree.root], rng))
    return [path, tree.root]


@way("odd name: letters, blanks, quotes")
def odd_name(tree, rng):
    return rename_pair(tree, rng, ["Straße_été_日本", "a b  c", 'it\'s "it"', "[b]%s{x}", "a.b.c"])


@way("odd name: newline, escape, no UTF-8")
def control_name(tree, rng):
    return rename_pair(tree, rng, ["two\nlines", "red\x1b[31m", "tab\there", "latin\udce9"])


@way("odd name: very long")
def long_name(tree, rng):
    # A file's name holds 255 bytes, of which the layouts take some.
    return rename_pair(tree, rng, ["n" * 220, "é" * 110])


def rename_pair(tree, rng, names):
    """Give a picture and its label another name, and name it so in the lists."""
    split = pick([name for name in tree.pairs if tree.pairs[name]], rng)
    old = pick(sorted(tree.pairs[split]), rng)
    new = pick(names, rng)
    paths = [path for path in tree.pairs[split][old] if path]
    moved = [path.with_name(path.name.replace(Path(old).name, new)) for path in paths]
    broken = bool(rng.integers(2))
    for number, (path, other) in enumerate(zip(paths, moved, strict=True)):
        path.rename(other)
        if broken and number == len(paths) - 1:
            cut(other, rng)
    for path in tree.lists:
        data = path.read_bytes()
        put(path, data.replace(old.encode(), os.fsencode(new)))
    return [*paths, *moved, *tree.lists, *(path.parent for path in paths)]


@way("names that differ by case or by suffix")
def doubles(tree, rng):
    path = any_pair(tree, rng)[int(rng.integers(2))]
    suffix = pick([path.suffix.upper(), ".png", ".jpg", ".bmp"], rng)
    name = pick([path.stem, path.stem.upper()], rng)
    other = path.with_name(name + suffix)
    if other != path:
        other.write_bytes(path.read_bytes())
    return [path, other]


@way("composed and decomposed letters")
def normal_forms(tree, rng):
    image, label = any_pair(tree, rng)
    letters = "é"
    for path, form in ((image, "NFC"), (label, "NFD")):
        stem = path.name.replace("0", unicodedata.normalize(form, letters), 1)
        path.rename(path.with_name(stem))
    return [image, label, image.parent, label.parent]


@way("hidden and foreign files")
def foreign(tree, rng):
    path = any_pair(tree, rng)[int(rng.integers(2))]
    for name in (f"._{path.name}", ".DS_Store", "Thumbs.db", "README.txt", f"{path.stem}.xml"):
        path.with_name(name).write_bytes(b"no picture")
    (path.parent / "__MACOSX").mkdir()
    if rng.integers(2):
        put(path.with_name(f"extra{path.suffix}"), path.read_bytes())
    return [path.with_name(f"extra{path.suffix}"), path.parent]


# -------------------------------------------------------------------------------- label pictures


@way("label of another mode", "png")
def label_mode(tree, rng):
    path = any_pair(tree, rng)[1]
    picture = Image.open(io.BytesIO(path.read_bytes()))
    mode = pick(["RGB", "RGBA", "LA", "1", "P", "PA"], rng)
    picture = picture.convert(mode)
    put(path, encoded(picture, "TIFF" if mode == "PA" else "PNG"))
    return [path]


@way("label with transparency", "png")
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


@way("label of 1, 2, 4, 16 bits", "values")
def label_depth(tree, rng):
    path = any_pair(tree, rng)[1]
    values = values_of(tree, path)
    depth = pick([1, 2, 4, 16], rng)
    raws = [value for value in known(tree) if value < 1 << depth]
    values = np.array(raws)[values % len(raws)]
    before = chunk(b"tEXt", b"a\0b") if rng.integers(4) == 0 else b""
    put(path, png(values.shape, depth, 0, packed(values, depth), before))
    return [path]


@way("label of floats", "png")
def label_float(tree, rng):
    path = any_pair(tree, rng)[1]
    values = values_of(tree, path).astype(np.float32)
    put(path, encoded(Image.fromarray(values + pick([0, 0.25], rng)), "TIFF"))
    return [path]


@way("label in a lossy format", "png")
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


@way("label in a format that scales values", "values")
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


@way("label of several pictures", "png")
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


@way("label with an unknown value")
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


@way("label turned, or one pixel off")
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


@way("palette label saved as gray or quantized", "values")
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


@way("PNG with odd chunks", "png")
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


# ---------------------------------------------------------------------------------------- pictures


@way("image of another mode")
def image_mode(tree, rng):
    """With alpha, CMYK, 16 bits, floats, Lab: whatever becomes of it, the file is kept."""
    path = any_pair(tree, rng)[0]
    picture = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    mode = pick(["RGBA", "LA", "CMYK", "I;16", "F", "LAB", "1", "P", "YCbCr"], rng)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    elif mode == "LAB":
        picture = Image.merge("LAB", picture.split())
    else:
        picture = picture.convert(mode)
    kind = {"CMYK": "JPEG", "F": "TIFF", "LAB": "TIFF", "YCbCr": "JPEG"}.get(mode, "PNG")
    put(path, encoded(picture, kind))
    return [path]


@way("image of several pictures")
def image_pages(tree, rng):
    path = any_pair(tree, rng)[0]
    picture = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    kind = pick(["TIFF", "PNG", "GIF", "WEBP", "MPO"], rng)
    more = [frame.rotate(180) for frame in ImageSequence.Iterator(picture)]
    put(path, encoded(picture, kind, save_all=True, append_images=more))
    return [path]


@way("image turned by EXIF")
def image_exif(tree, rng):
    path = any_pair(tree, rng)[0]
    picture = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(2, 9))
    put(path, encoded(picture, pick(["JPEG", "PNG"], rng), exif=exif))
    return [path]


@way("image one pixel off")
def image_size(tree, rng):
    image, label = any_pair(tree, rng)
    picture = Image.open(io.BytesIO(image.read_bytes())).convert("RGB")
    put(image, encoded(picture.crop((0, 0, picture.width + 1, picture.height)), "PNG"))
    return [image, label]


@way("huge declared picture")
def bomb(tree, rng):
    """Few bytes that say, or are, very many pixels."""
    pair = any_pair(tree, rng)
    path = pair[0] if pair[1].suffix == ".mat" else pick(pair, rng)
    side = pick([13_000, 100_000], rng)
    color = 2 if path == pair[0] else 0
    kinds = [
        png((side, side), 8, color, bytes(1000)),
        png((side, side), 1, 0, bytes(1000)),
        b"BM" + struct.pack("<IIIIiiHHII4i", 1078, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
        tiff(np.zeros((8, 8), int), 8, white_is_zero=False).replace(
            struct.pack("<HHII", 256, 4, 1, 8), struct.pack("<HHII", 256, 4, 1, side)
        ),
        b"P5 %d %d 255\n" % (side, side) + bytes(1000),
    ]
    put(path, pick(kinds, rng))
    return [path, *pair]


# ------------------------------------------------------------------------------------------- lists


def edit(tree, rng, change):
    """Change the lines of a list, as bytes without their ends; return the list."""
    path = pick(tree.lists, rng)
    lines = path.read_bytes().split()
    at = int(rng.integers(len(lines)))
    put(path, change(lines, at))
    return [path]


def joined(lines, end=b"\n"):
    return b"".join(line + end for line in lines)


@way("list line that leads elsewhere", "list")
def list_path(tree, rng):
    before = pick([b"../", b"../../x/../", b"/", b"/etc/", b"C:\\data\\", b"./", b"..\\"], rng)

    def change(lines, at):
        lines[at] = before + lines[at]
        return joined(lines)

    return edit(tree, rng, change)


@way("list with NUL, other bytes, odd lines", "list")
def list_bytes(tree, rng):
    more = pick(
        [
            b"\0",
            b"\xff\xfe",
            b"\xe9t\xe9",
            b"\x1b[2J",
            b"\x0c",
            b"\xe2\x80\xa8",
            b".",
            b"..",
            b"~",
            b"x" * 5000,
            b"a b c",
            b"*",
            b"%s{0}",
        ],
        rng,
    )

    def change(lines, at):
        lines[at] = pick([lines[at] + more, more, more + lines[at]], rng)
        return joined(lines)

    return edit(tree, rng, change)


@way("list with a line too many or too few", "list")
def list_lines(tree, rng):
    kind = pick(["double", "missing", "foreign"], rng)

    def change(lines, at):
        if kind == "double":
            lines.insert(int(rng.integers(len(lines))), lines[at])
        elif kind == "missing":
            del lines[at]
        else:
            lines.insert(at, b"2012_999999")
        return joined(lines)

    return [*edit(tree, rng, change), tree.root]


@way("list with other line ends or encoding", "list")
def list_ends(tree, rng):
    kind = pick(["blank", "CRLF", "CR", "BOM", "UTF-16", "no end", "tabs", "upper"], rng)

    def change(lines, at):
        text = joined(lines)
        return {
            "blank": joined(lines, b"\n\n  \n"),
            "CRLF": joined(lines, b"\r\n"),
            "CR": joined(lines, b"\r"),
            "BOM": b"\xef\xbb\xbf" + text,
            "UTF-16": text.decode().encode("utf-16"),
            "no end": text.rstrip(b"\n"),
            "tabs": joined(lines, b"\t\n"),
            "upper": text.upper(),
        }[kind]

    return edit(tree, rng, change)


@way("list missing or in place of another", "list")
def list_other(tree, rng):
    path = pick(tree.lists, rng)
    if rng.integers(2):
        path.unlink()
    else:
        put(path, pick(tree.lists, rng).read_bytes())
    return [path, *tree.lists, tree.root]


# ----------------------------------------------------------------------------------- MATLAB's files


@way("wrong variable in .mat", "mat")
def mat_variable(tree, rng):
    path = any_mat(tree, rng)
    values = values_of(tree, path)
    first = tree.variable(path).split(".")[0]
    kind = pick(["other", "case", "cell", "struct", "text", "nothing"], rng)
    plain = values.astype(np.uint16)
    variables = {
        "other": {"groundTruth": plain},
        "case": {first.swapcase(): plain},
        "cell": {first: np.array([[plain], [plain]], object)[:, :1]},
        "struct": {first: {"other": plain}},
        "text": {first: "labels"},
        "nothing": {},
    }[kind]
    path.unlink()
    savemat(path, variables, do_compression=True)
    return [path]


def any_mat(tree, rng):
    return pick([label for _, label in labels(tree) if label.suffix == ".mat"], rng)


@way("odd matrix in .mat", "mat")
def mat_matrix(tree, rng):
    path = any_mat(tree, rng)
    values = values_of(tree, path).astype(np.float64)
    spot = (int(rng.integers(len(values))), int(rng.integers(values.shape[1])))
    kind = pick(
        [
            "half",
            "nan",
            "inf",
            "negative",
            "huge",
            "3-D",
            "1-D",
            "empty",
            "sparse",
            "complex",
            "logical",
            "int8",
            "uint64",
            "single",
            "text",
            "cell",
        ],
        rng,
    )
    odd = {"half": 0.5, "nan": np.nan, "inf": np.inf, "negative": -1, "huge": 1e300}
    if kind in odd:
        values[spot] = odd[kind]
    made = {
        "3-D": lambda: np.stack([values, values], axis=2),
        "1-D": lambda: values.reshape(1, -1),
        "empty": lambda: values[:0],
        "sparse": lambda: sparse.csc_array(values),
        "complex": lambda: values + 0j,
        "logical": lambda: values > 0,
        "int8": lambda: values.astype(np.int16).astype(np.int8),
        "uint64": lambda: values.astype(np.uint64) + np.uint64(1 << 63),
        "single": lambda: values.astype(np.float32),
        "text": lambda: np.array(["ab", "cd"]),
        "cell": lambda: np.array([[values, 1]], object),
    }.get(kind, lambda: values)()
    save_labels(tree, path, made)
    return [path]


@way(".mat of another version, or none", "mat")
def mat_version(tree, rng):
    path = any_mat(tree, rng)
    values = values_of(tree, path).astype(np.float64)
    first, *field = tree.variable(path).split(".")
    kind = pick(["4", "7.3", "text", "plain", "HDF5", "head"], rng)
    if kind == "4":
        path.unlink()
        savemat(path, {first: values}, format="4")
    elif kind == "7.3":
        path.unlink()
        nested = gt_cls(values.astype(np.uint8)) if field else values.astype(np.uint16)
        save_mat(path, {first: nested}, v73=True)
    elif kind == "text":
        put(path, b"S = [1 2; 3 4];\n" * 20)
    elif kind == "plain":
        path.unlink()
        value = {field[0]: values} if field else values
        savemat(path, {first: value}, do_compression=False)
    elif kind == "HDF5":
        path.unlink()
        with h5py.File(path, "w") as file:
            file["nothing"] = 1
    else:
        put(path, path.read_bytes()[:128])
    return [path]


@way("huge declared .mat", "mat")
def mat_bomb(tree, rng):
    """Few bytes that say, or deflate to, very many values."""
    path = any_mat(tree, rng)
    first, *field = tree.variable(path).split(".")
    kind = pick(["dimensions", "tag", "deflated", "7.3", "cells", "names", "version 4"], rng)
    side = 20_000
    if kind == "version 4":
        head = struct.pack("<5i", 50, 100_000, 100_000, 0, len(first) + 1)
        put(path, head + first.encode() + b"\0" + bytes(64))
        return [path]
    if kind == "7.3":
        path.unlink()
        with h5py.File(path, "w", userblock_size=512) as file:
            file.create_dataset(
                "/".join([first, *field]), (100_000, 100_000), np.uint8, chunks=(1000, 1000)
            )
        return [path]
    buffer = io.BytesIO()
    savemat(buffer, {}, do_compression=True)
    if kind == "names":
        buffer = io.BytesIO()
        savemat(buffer, {first: np.zeros((2, 2), np.uint8)})
        first = "names"
    content = bytes(side * side) if kind == "deflated" else bytes(64)
    shape = (side, side) if kind == "deflated" else (100_000, 100_000)
    flags = 1 if kind in ("cells", "names") else 9
    numbers = element(2, content) if flags == 9 else b""
    body = (
        element(6, struct.pack("<II", flags, 0))
        + element(5, struct.pack("<ii", *shape))
        + element(1, first.encode())
        + numbers
    )
    length = 0xFFFFFFF0 if kind == "tag" else len(body)
    deflated = zlib.compress(struct.pack("<II", 14, length) + body)
    put(path, buffer.getvalue() + struct.pack("<II", 15, len(deflated)) + deflated)
    return [path]


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

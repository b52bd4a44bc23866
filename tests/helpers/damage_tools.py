"""The table of damages, and their tools: choosing files, and writing label files by hand."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from helpers.strict_labels import PNG, label_values
from PIL import Image
from scipy.io import savemat


@dataclass(frozen=True)
class Damage:
    """A way to break a tree: `needs` is the trait that the tree must have ("" for any)."""

    needs: str
    work: Callable


DAMAGES: dict[str, Damage] = {}


def damage(name, needs=""):
    def register(work):
        DAMAGES[name] = Damage(needs, work)
        return work

    return register


def put(path, content):
    """Replace a file by bytes. Never write through a link."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def clear(path):
    """Hide a file or folder: give it a name that no layout reads."""
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
    """Raw values in the tree's card that fit in one byte."""
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

"""Images of other modes, sizes and kinds."""

import io
import struct

import numpy as np
from helpers.damage_labels import tiff
from helpers.damage_tools import any_pair, damage, encoded, pick, png, put
from PIL import Image, ImageSequence


@damage("image of another mode")
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


@damage("image of several pictures")
def image_pages(tree, rng):
    path = any_pair(tree, rng)[0]
    picture = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    kind = pick(["TIFF", "PNG", "GIF", "WEBP", "MPO"], rng)
    more = [frame.rotate(180) for frame in ImageSequence.Iterator(picture)]
    put(path, encoded(picture, kind, save_all=True, append_images=more))
    return [path]


@damage("image turned by EXIF")
def image_exif(tree, rng):
    path = any_pair(tree, rng)[0]
    picture = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(2, 9))
    put(path, encoded(picture, pick(["JPEG", "PNG"], rng), exif=exif))
    return [path]


@damage("image one pixel off")
def image_size(tree, rng):
    image, label = any_pair(tree, rng)
    picture = Image.open(io.BytesIO(image.read_bytes())).convert("RGB")
    put(image, encoded(picture.crop((0, 0, picture.width + 1, picture.height)), "PNG"))
    return [image, label]


@damage("huge declared picture")
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

"""Judge what became of a broken tree: a clear error, or shards that hold what the files hold."""

import hashlib
import io
import os
import re
import zlib
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import zstandard
from helpers.lmo_tree import LMO_FOLDER
from helpers.matlab_files import IGNORE
from helpers.strict_labels import PNG, NotLabelError, label_values, png_chunks
from PIL import Image


def snapshot(root):
    """What is in a folder, by name: kind, link's target, content."""
    found = {}
    for place, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            path = os.path.join(place, name)  # noqa: PTH118 - bytes: names need not be UTF-8
            status = os.lstat(path)
            content = b""
            if os.path.islink(path):  # noqa: PTH114
                content = os.readlink(path)  # noqa: PTH115
            elif os.path.isfile(path):  # noqa: PTH113
                with open(path, "rb") as file:  # noqa: PTH123
                    content = hashlib.sha256(file.read()).digest()
            found[path] = status.st_mode, content
    return found


def forms(path):
    """How a message may write a path: as it is, or with what cannot be shown escaped."""
    text = str(path)
    plain = text.encode(errors="backslashreplace").decode()
    escaped = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return {text, plain, escaped, repr(text)[1:-1], ascii(text)[1:-1]}


UPWARDS = re.compile(r"[^/ ]+/\.\./")  # VOC2010/../ in the middle of a path


def names_fault(message, tree, faults):
    """Whether a message names one of the paths, or a file that is not there, or a wrong count."""
    while (shorter := UPWARDS.sub("", message)) != message:
        message = shorter
    if any(form in message for path in faults for form in forms(path)):
        return True
    if "is not UTF-8" in message:
        return any(ascii(path.name)[1:-1] in message for path in faults)
    if re.search(r"split '\w+' has \d+ of the \d+ images", message):
        return True
    roots = {str(tree.root), os.path.normpath(tree.root)}
    lost = re.match(r"(.+?): missing", message)
    return bool(lost) and lost[1].startswith(tuple(roots)) and not Path(lost[1]).is_file()


def judge_refusal(answer, tree, faults, out):
    message = answer["message"]
    if out.exists():
        return "refused, but there is something at the output"
    try:
        message.encode()
    except UnicodeEncodeError:
        return "the message cannot be printed as UTF-8"
    if not message.replace("\t", " ").isprintable():
        return "the message is more than one line, or has control characters"
    if len(message) > 1200:
        return f"the message has {len(message)} characters"
    if not names_fault(message, tree, faults):
        return "the message names neither the broken file nor its folder"
    if "Ghostscript" in message:
        return "another program was asked to read the file"
    if "Unable to allocate" in message or "MemoryError" in message:
        return "the memory ran out, and the message shows Python's words for it"
    return None


def judge_shards(answer, tree, out):
    """Compare every sample with its files as they are now; count what is not there."""
    table = np.full(1 << 24, -1, np.int64)
    for raw in tree.card.ignore_from:
        table[raw] = IGNORE
    for number, entry in enumerate(tree.card.classes):
        table[list(entry.raw)] = number
    for split in tree.card.splits:
        count = 0
        for path in sorted(out.glob(f"{split.name}-?????.h5")):
            for name, *stored in samples(path):
                try:
                    compare(tree, split, name, table, *stored)
                except (AssertionError, NotLabelError, OSError) as error:
                    return f"{split.name} '{name}': {error or 'is not as it should be'}"
                count += 1
        wanted = len(tree.pairs.get(split.name, ()))
        told = f"split '{split.name}'"
        if not split.required and count == 0:
            continue  # a leaderboard's pictures are a download of their own
        if count != wanted and not any(told in remark for remark in answer["remarks"]):
            return f"{told}: {count} of {wanted} pictures, and not a word of it"
    return None


def samples(path):
    """Yield name, image, label, histogram, size, checksums of a shard, read with h5py alone."""
    with h5py.File(path) as file:
        parts = []
        for kind in ("images", "labels"):
            content, offsets = file[kind]["bytes"][:], file[kind]["offsets"][:]
            parts.append([content[a:b].tobytes() for a, b in pairwise(offsets)])
        names = file["name"].asstr()[:]
        yield from zip(
            names, *parts, file["pixels"][:], file["size"][:], file["crc32"][:], strict=True
        )


def compare(tree, split, name, table, image, label, pixels, size, checks):
    """Raise AssertionError or NotLabelError unless a sample is what its files say."""
    raw, mask = files_of(tree, split, name)
    data = raw.read_bytes()
    assert image == data, "the image's bytes are not the file's"
    shape = picture_shape(data)
    assert tuple(size) == shape, f"size {tuple(size)}, the picture's is {shape}"
    assert checks.tolist() == [zlib.crc32(image), zlib.crc32(label)], "checksums"
    if not split.labels:
        assert not label
        assert not pixels.any()
        return
    values = label_values(
        mask.read_bytes(), mask.suffix, tree.variable(mask), "colors" in tree.traits
    )
    expected = table[values]
    assert expected.min() >= 0, "unknown values became a label"
    found = np.frombuffer(zstandard.decompress(label), np.uint8)
    assert shape == expected.shape, f"shapes {shape}, {expected.shape}"
    assert np.array_equal(found, expected.ravel()), "WRONG LABEL"
    counts = [int((expected == value).sum()) for value in [*range(len(pixels) - 1), IGNORE]]
    assert pixels.tolist() == counts, "the histogram"


@lru_cache(4096)
def picture_shape(data):
    if data.startswith(PNG):
        png_chunks(data)
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture.height, picture.width


def files_of(tree, split, name):
    """Where a sample's image and label are, by the layout's description."""
    root, part = tree.root, split.name
    if tree.kind == "camvid":
        return only(root / part, name), only(root / f"{part}annot", name)
    if tree.kind == "ade20k":
        part = {"train": "training", "val": "validation"}[part]
        return only(root / "images" / part, name), only(root / "annotations" / part, name)
    if tree.kind == "cityscapes":
        images = root / "leftImg8bit" / part
        (city,) = [
            place
            for place in images.iterdir()
            if any(path.name.startswith(f"{name}_leftImg8bit.") for path in place.iterdir())
        ]
        image = only(city, f"{name}_leftImg8bit")
        labels = root / "gtFine" / part / city.name
        return image, only(labels, f"{name}_gtFine_labelIds") if split.labels else None
    if tree.kind == "colors":
        return (
            only(root / "pictures" / part, f"{name}_rgb"),
            only(root / "masks" / part, f"{name}_mask"),
        )
    if tree.kind == "listed":
        assert name in listing(root / f"lists/{part}.txt"), "no list names it"
        return only(root / "all", name), only(root / "ids", name)
    if tree.kind == "lmo":
        assert (name in listing(tree.lists[0])) == (part == "val"), "in the wrong split"
        return only(root / "Images" / LMO_FOLDER, name), (
            root / f"SemanticLabels/{LMO_FOLDER}/{name}.mat"
        )
    base = root / ("VOCdevkit/VOC2010" if tree.kind == "context" else "VOCdevkit/VOC2012")
    image = base / f"JPEGImages/{name}.jpg"
    if tree.kind == "context":
        assert name in listing(base / f"ImageSets/Main/{part}.txt"), "no list names it"
        return image, root / f"trainval/{name}.mat"
    lists = base / "ImageSets/Segmentation"
    mask = base / f"SegmentationClass/{name}.png"
    if part != "train_aug":
        assert name in listing(lists / f"{part}.txt"), "no list names it"
        return image, mask
    assert name not in listing(lists / "val.txt"), "one of VOC's val is in train_aug"
    if name in listing(lists / "train.txt"):
        return image, mask
    dataset = tree.sbd / "dataset"
    assert name in listing(dataset / "train.txt") + listing(dataset / "val.txt"), "in no list"
    return image, dataset / f"cls/{name}.mat"


def only(folder, name):
    """The one picture of that name without file type, below a folder."""
    place = (folder / name).parent
    found = [
        path
        for path in place.iterdir()
        if path.stem == Path(f"{name}.x").stem and path.suffix.lower() in IMAGE_SUFFIXES
    ]
    assert len(found) == 1, f"{len(found)} files are called {name}"
    return found[0]


IMAGE_SUFFIXES = {
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".tif",
    ".tiff",
    ".webp",
    ".ppm",
    ".pgm",
}


def listing(path):
    """The names in a list: the last part of every line, without a picture's file type."""
    names = []
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    for line in data.decode(encoding).splitlines():
        last = Path(line.strip().replace("\\", "/"))
        names.append(last.stem if last.suffix.lower() in IMAGE_SUFFIXES else last.name)
    return names

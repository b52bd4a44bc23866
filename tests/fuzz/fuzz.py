"""Break miniature data sets in every way there is and see what `prepare` makes of them.

    PYTHONPATH=tests python tests/fuzz/fuzz.py --variants 500 --seed 0
    PYTHONPATH=tests python tests/fuzz/fuzz.py --seed 3 --only 17          # one variant again, with its message

A variant is a copy of a miniature official tree, broken in one way (helpers/damage.py). It must be
refused by one line that names what is wrong, or be prepared so that the shards hold what the files
hold, as helpers/strict_labels.py reads them; nothing may be lost without a remark. Anything else is
a failure.
"""

import argparse
import hashlib
import io
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from helpers.damage import DAMAGES
from helpers.matlab_trees import (
    LMO_FOLDER,
    context_tree,
    jpeg_bytes,
    lmo_tree,
    patchwork,
    save_mask,
    sbd_tree,
    write,
    write_list,
)
from helpers.strict_labels import PNG, NotLabelError, label_values, png_chunks
from helpers.trees import noise, save_picture
from PIL import Image

from psp.data.card import Card
from psp.data.cardfile import find_card, read_card
from psp.errors import PspError

SECONDS = 30  # after which a variant counts as hanging
MEMORY = 700 << 20  # bytes that a tree of a few small pictures may add to the largest so far
ADDRESSES = 6 << 30  # bytes that the worker may map at most, so that the machine survives
IGNORE = 255

# ------------------------------------------------------------------------------------------ trees


@dataclass(frozen=True)
class Tree:
    """A miniature tree: where each sample's files are, as the layout's description has it."""

    kind: str
    root: Path
    card: Card
    pairs: dict[str, dict[str, tuple[Path, Path | None]]]
    lists: list[Path] = field(default_factory=list)
    sbd: Path | None = None
    traits: frozenset[str] = frozenset()  # png or mat; values or colors; list

    def variable(self, label):
        """The variable that holds the labels in a .mat file."""
        return {"lmo": "S", "context": "LabelMap"}.get(self.kind, "GTcls.Segmentation")

    def moved(self, root):
        """The same tree, copied to another folder."""

        def there(path):
            return path and root / path.relative_to(self.root)

        pairs = {
            split: {name: (there(image), there(label)) for name, (image, label) in names.items()}
            for split, names in self.pairs.items()
        }
        lists = [there(path) for path in self.lists]
        return replace(self, root=root, pairs=pairs, lists=lists, sbd=there(self.sbd))


def counted(card, pairs):
    """The card, promising as many pictures as the tree has."""
    splits = tuple(
        replace(split, images=len(pairs.get(split.name, ())) or (None if split.required else 0))
        for split in card.splits
    )
    return replace(card, splits=splits)


def found_pairs(truth, image, label):
    return {
        split: {name: (image(name), label(name, split)) for name in names}
        for split, names in truth.items()
    }


def camvid(root, rng):
    pairs = {"train": {}, "val": {}, "test": {}}
    for split, count in {"train": 9, "val": 5, "test": 4}.items():
        for number in range(count):
            name = f"0001TP_{split}{number:03d}"
            shape = (24 + 4 * (number % 3), 40)
            image, label = root / split / f"{name}.png", root / f"{split}annot" / f"{name}.png"
            save_picture(image, noise(rng, *shape))
            save_picture(label, patchwork(rng, *shape, np.arange(12, dtype=np.uint8), block=8))
            pairs[split][name] = image, label
    card = counted(find_card("camvid"), pairs)
    return Tree("camvid", root, card, pairs, traits=frozenset({"png", "values", "stems"}))


def cityscapes(root, rng):
    pairs = {"train": {}, "val": {}, "test": {}}
    for split, cities in {"train": ("aachen", "bonn"), "val": ("ulm",), "test": ("bern",)}.items():
        for city in cities:
            for number in range(3):
                name = f"{city}_{number:06d}_000019"
                shape = (16 + 8 * (number % 2), 48)
                image = root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png"
                label = root / f"gtFine/{split}/{city}/{name}_gtFine_labelIds.png"
                save_picture(image, noise(rng, *shape))
                ids = patchwork(rng, *shape, np.arange(34, dtype=np.uint8), block=4)
                ids[np.isin(ids, (12,))] = 0
                save_picture(label, np.where(split == "test", 0, ids).astype(np.uint8))
                for other in ("instanceIds", "color"):
                    save_picture(label.with_name(f"{name}_gtFine_{other}.png"), noise(rng, *shape))
                pairs[split][name] = image, None if split == "test" else label
    card = counted(find_card("cityscapes"), pairs)
    return Tree("cityscapes", root, card, pairs, traits=frozenset({"png", "values", "stems"}))


def ade20k(root, rng):
    pairs = {"train": {}, "val": {}}
    for split, folder in (("train", "training"), ("val", "validation")):
        for number in range(4):
            name, shape = f"ADE_{split}_{number:08d}", (25 + 2 * number, 39)
            image = root / f"images/{folder}/{name}.jpg"
            label = root / f"annotations/{folder}/{name}.png"
            write(image, jpeg_bytes(rng, *shape))
            save_picture(label, patchwork(rng, *shape, np.arange(151, dtype=np.uint8), block=3))
            pairs[split][name] = image, label
    card = counted(find_card("ade20k"), pairs)
    return Tree("ade20k", root, card, pairs, traits=frozenset({"png", "values", "stems"}))


VOC_IDS = {"train": range(7, 12), "val": range(12, 15), "test": range(15, 17)}


def voc(root, rng):
    base = root / "VOCdevkit/VOC2012"
    pairs = {split: {} for split in VOC_IDS}
    for split, numbers in VOC_IDS.items():
        for number in numbers:
            name, shape = f"2007_0000{number:02d}", (20 + number, 44 - number)
            image, label = base / f"JPEGImages/{name}.jpg", base / f"SegmentationClass/{name}.png"
            write(image, jpeg_bytes(rng, *shape))
            if split != "test":
                save_mask(label, patchwork(rng, *shape, [*range(21), 255], block=5), palette=True)
            pairs[split][name] = image, None if split == "test" else label
        write_list(base / f"ImageSets/Segmentation/{split}.txt", pairs[split])
    lists = [base / f"ImageSets/Segmentation/{split}.txt" for split in VOC_IDS]
    card = counted(find_card("voc2012"), pairs)
    return Tree("voc", root, card, pairs, lists, traits=frozenset({"png", "values", "list"}))


COLORS = """
name = "parks"
title = "Parks, 4 classes by color"
layout = "folders"
labels = "colors"
classes = [
  { name = "grass", color = "#2ca02c" }, { name = "path", color = "#d9c08f" },
  { name = "tree", color = "#175e17", from = ["#175e17", "#000001"] },
  { name = "gray", color = "#808080" },
]
ignore_from = ["#000000"]
[splits]
train = {}
val = {}
[folders]
images = "pictures/{split}"
masks = "masks/{split}"
image_suffix = "_rgb"
mask_suffix = "_mask"
"""
PARK = np.array(
    [
        [0x2C, 0xA0, 0x2C],
        [0xD9, 0xC0, 0x8F],
        [0x17, 0x5E, 0x17],
        [0, 0, 1],
        [0x80, 0x80, 0x80],
        [0, 0, 0],
    ],
    np.uint8,
)


def colors(root, rng):
    """The layout `folders` with masks of colors, in folders of folders."""
    pairs = {"train": {}, "val": {}}
    for split, count in {"train": 5, "val": 3}.items():
        for number in range(count):
            name, shape = f"part{number % 2}/day{number}", (18 + 4 * (number % 3), 30)
            image = root / f"pictures/{split}/{name}_rgb.jpg"
            label = root / f"masks/{split}/{name}_mask.png"
            write(image, jpeg_bytes(rng, *shape))
            save_picture(label, PARK[patchwork(rng, *shape, np.arange(6), block=4)])
            pairs[split][name] = image, label
    card = counted(own_card(COLORS), pairs)
    return Tree("colors", root, card, pairs, traits=frozenset({"png", "colors", "stems"}))


LISTED = """
name = "wide"
title = "Three classes of wide values"
layout = "folders"
classes = [
  { name = "low", color = "#102030", from = [0, 1, 255] },
  { name = "middle", color = "#405060", from = [2, 3, 300] },
  { name = "high", color = "#708090", from = [60000] },
]
ignore_from = [85, 170]
[splits]
train = { list = "lists/train.txt" }
val = { list = "lists/val.txt" }
[folders]
images = "all"
masks = "ids"
"""


def listed(root, rng):
    """The layout `folders` with lists and labels of 16 bits."""
    pairs = {"train": {}, "val": {}}
    for split, count in {"train": 5, "val": 3}.items():
        for number in range(count):
            name, shape = f"{split}-{number:04d}", (22, 26 + 2 * (number % 3))
            image, label = root / f"all/{name}.png", root / f"ids/{name}.png"
            save_picture(image, noise(rng, *shape))
            values = np.array([0, 1, 2, 3, 85, 170, 255, 300, 60000], np.uint16)
            save_picture(label, patchwork(rng, *shape, values, block=4))
            pairs[split][name] = image, label
        write_list(root / f"lists/{split}.txt", [f"all/{name}.png" for name in pairs[split]])
    lists = [root / "lists/train.txt", root / "lists/val.txt"]
    card = counted(own_card(LISTED), pairs)
    return Tree("listed", root, card, pairs, lists, traits=frozenset({"png", "values", "list"}))


def own_card(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "card.toml"
        path.write_text(text)
        return read_card(path)


def lmo(root, rng):
    truth = lmo_tree(root, rng)
    pairs = found_pairs(
        truth,
        lambda name: root / f"Images/{LMO_FOLDER}/{name}.jpg",
        lambda name, split: root / f"SemanticLabels/{LMO_FOLDER}/{name}.mat",
    )
    card = counted(find_card("lmo"), pairs)
    shutil.rmtree(root / "GeoLabels")
    lists = [root / "TestSet1.txt"]
    return Tree("lmo", root, card, pairs, lists, traits=frozenset({"mat", "list"}))


def context(root, rng):
    base = root / "VOCdevkit/VOC2010"
    pairs = found_pairs(
        context_tree(root, rng),
        lambda name: base / f"JPEGImages/{name}.jpg",
        lambda name, split: root / f"trainval/{name}.mat",
    )
    lists = [base / f"ImageSets/Main/{split}.txt" for split in pairs]
    card = counted(find_card("context"), pairs)
    return Tree("context", root, card, pairs, lists, traits=frozenset({"mat", "list"}))


def sbd(root, rng):
    truth = sbd_tree(root, rng)
    base, added = root / "VOCdevkit/VOC2012", root / "benchmark_RELEASE"
    own = {*truth["train"], *truth["val"]}

    def label(name, split):
        if name in own:
            return base / f"SegmentationClass/{name}.png"
        return added / f"dataset/cls/{name}.mat"

    pairs = found_pairs(truth, lambda name: base / f"JPEGImages/{name}.jpg", label)
    lists = [base / f"ImageSets/Segmentation/{split}.txt" for split in ("train", "val")]
    lists += [added / f"dataset/{split}.txt" for split in ("train", "val")]
    shutil.rmtree(added / "dataset/img")
    card = counted(find_card("voc2012"), pairs)
    return Tree("sbd", root, card, pairs, lists, added, frozenset({"mat", "list"}))


BUILDERS: dict[str, Callable] = {
    build.__name__: build
    for build in (camvid, cityscapes, ade20k, voc, colors, listed, lmo, context, sbd)
}


# ------------------------------------------------------------------------------ one conversion


class Worker:
    """A process that converts one tree after the other; one that hangs or dies is replaced."""

    def __init__(self):
        self.process = None

    def convert(self, tree, out, options):
        """Prepare a tree within the limits; return what came of it."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, end = context.Pipe()
            self.process = context.Process(target=serve, args=(end,))
            self.process.start()
            end.close()
            self.pipe.recv()  # imports are not what is timed
        self.pipe.send((tree, out, options))
        try:
            if self.pipe.poll(SECONDS):
                return self.pipe.recv()
            answer = {"end": "hung", "message": f"no end after {SECONDS} s"}
        except EOFError:
            answer = {"end": "died", "message": "the process died"}
        self.close()
        return answer

    def close(self):
        if self.process is not None:
            self.pipe.close()
            self.process.kill()
            self.process.join()
            self.process = None


def serve(pipe):
    """In a process of its own: answer until nobody asks."""
    from psp.prepare.pipeline import prepare

    # A bomb must break in this process and not on the machine.
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    pipe.send("ready")
    while True:
        try:
            tree, out, options = pipe.recv()
        except EOFError:
            return
        with out.with_name("said.txt").open("wb") as said:
            for stream in (1, 2):
                os.dup2(said.fileno(), stream)
        pipe.send(attempt(prepare, tree, out, options))


def attempt(prepare, tree, out, options):
    remarks = []

    def report(event):
        remarks.extend(getattr(event, "remarks", ()))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            prepare(tree.card, tree.root, out, sbd=tree.sbd, report=report, **options)
            answer = {"end": "prepared", "message": ""}
        except PspError as error:
            answer = {"end": "refused", "message": str(error)}
        except BaseException as error:
            text = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
            answer = {"end": "raised", "message": text}
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    printed = [f"{one.category.__name__}: {one.message}" for one in warned]
    # Linux counts in KiB.
    return answer | {"remarks": remarks, "warned": printed, "memory": (after - before) << 10}


# ---------------------------------------------------------------------------------- judging it


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
    with Image.open(io.BytesIO(label)) as picture:
        assert picture.mode == "L"
        found = np.asarray(picture)
    assert found.shape == shape == expected.shape, f"shapes {found.shape}, {expected.shape}"
    assert np.array_equal(found, expected), "WRONG LABEL"
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
    for line in path.read_bytes().decode("utf-8-sig").splitlines():
        last = Path(line.strip().replace("\\", "/"))
        names.append(last.stem if last.suffix.lower() in IMAGE_SUFFIXES else last.name)
    return names


def keep_times(template, root):
    """Give the files of a copy the times of the whole ones."""
    for path in template.rglob("*"):
        copy = root / path.relative_to(template)
        if path.is_file() and not copy.is_symlink() and copy.is_file():
            status = path.stat()
            os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))


# -------------------------------------------------------------------------------- many of them


@dataclass(frozen=True)
class Result:
    """What became of a variant; `failure` says what is wrong with that."""

    number: int
    damage: str
    tree: str
    options: dict
    end: str
    message: str
    failure: str | None

    def __str__(self):
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return (
            f"variant {self.number}: {self.damage}, {self.tree}, {options}\n"
            f"  {self.failure or 'as it should be'}\n  {self.end}: {self.message}"
        )


class Fuzzer:
    """Variants by number: the same seed and number give the same variant."""

    def __init__(self, folder, seed):
        self.folder, self.seed = folder, seed
        self.trees = {}
        self.worker = Worker()

    def tree(self, kind):
        if kind not in self.trees:
            root = self.folder / "trees" / kind
            self.trees[kind] = BUILDERS[kind](root, np.random.default_rng(self.seed))
        return self.trees[kind]

    def variant(self, number, damage=None):
        """Build a variant, run it, judge it, and remove it."""
        rng = np.random.default_rng([self.seed, number])
        damage = damage or list(DAMAGES)[number % len(DAMAGES)]
        needs = DAMAGES[damage].needs
        kinds = [kind for kind in BUILDERS if not needs or needs in self.tree(kind).traits]
        template = self.tree(kinds[int(rng.integers(len(kinds)))])
        place = self.folder / f"{number:05d}"
        try:
            shutil.copytree(template.root, place / "raw", symlinks=True)
            tree = template.moved(place / "raw")
            faults = DAMAGES[damage].work(tree, rng)
            options = {
                "allow_incomplete": bool(rng.integers(2)),
                "workers": 2 if rng.integers(8) == 0 else 1,
                "shard_mb": (256, 0.01)[int(rng.integers(2))],
            }
            # Half of them rot unseen: a new name or size tells, but no new time.
            if rng.integers(2):
                keep_times(template.root, tree.root)
            answer, failure = self.trial(tree, faults, place / "out", options)
            if answer["end"] == "refused" and not failure and number % 3 == 0:
                failure = self.mended(template, tree, place / "out", options)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        message = answer["message"].replace(str(place), "…")
        return Result(
            number,
            damage,
            tree.kind,
            options,
            answer["end"],
            message,
            failure and failure.replace(str(place), "…"),
        )

    def mended(self, template, tree, out, options):
        """Put the whole files back, convert again, and return what is wrong with that, or None."""
        shutil.rmtree(tree.root)
        shutil.copytree(template.root, tree.root, symlinks=True)
        again = self.worker.convert(tree, out, options)
        if again["end"] != "prepared":
            return f"mended, and still {again['end']}: {again['message']}"
        failure = judge_shards(again, tree, out)
        return failure and f"mended, but {failure}"

    def trial(self, tree, faults, out, options):
        """Return the answer of a conversion and what is wrong with it, or None."""
        before = snapshot(tree.root)
        answer = self.worker.convert(tree, out, options)
        if answer["end"] not in ("prepared", "refused"):
            return answer, answer["end"]
        if answer["end"] == "refused":
            failure = judge_refusal(answer, tree, faults, out)
        else:
            failure = judge_shards(answer, tree, out)
        said = out.with_name("said.txt").read_bytes()
        if snapshot(tree.root) != before:
            failure = "the raw files were changed"
        elif not failure and answer["memory"] > MEMORY:
            failure = f"took {answer['memory'] >> 20} MB of memory"
        elif not failure and (answer["warned"] or said):
            failure = f"printed: {answer['warned'] or said!r}"
        return answer, failure


def table(results):
    """The counts by damage, as a Markdown table."""
    rows = ["| kind of damage | variants | refused | prepared, harmless | failures |"]
    rows.append("|---|---:|---:|---:|---:|")
    for damage in [*DAMAGES, None]:
        some = [one for one in results if damage in (None, one.damage)]
        ends = Counter("failed" if one.failure else one.end for one in some)
        if some:
            rows.append(
                f"| {damage or 'all'} | {len(some)} | {ends['refused']} | {ends['prepared']} | "
                f"{ends['failed']} |"
            )
    return "\n".join(rows)


def main():
    """Run the variants, print the table and every failure; exit with 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--variants", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one variant")
    parser.add_argument("--verbose", action="store_true", help="show every message")
    arguments = parser.parse_args()
    numbers = range(arguments.variants) if arguments.only is None else [arguments.only]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), arguments.seed)
        for number in numbers:
            result = fuzzer.variant(number)
            results.append(result)
            if result.failure or arguments.verbose or arguments.only is not None:
                # Messages may hold anything; what cannot be printed is escaped.
                print(str(result).encode(errors="backslashreplace").decode() + "\n", flush=True)
        fuzzer.worker.close()
    print(table(results))
    return any(result.failure for result in results)


if __name__ == "__main__":
    sys.exit(main())

"""Miniature official trees, with the files of each sample as the layouts describe them."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from helpers.context_tree import context_tree
from helpers.lmo_tree import LMO_FOLDER, lmo_tree
from helpers.matlab_files import jpeg_bytes, patchwork, write, write_list
from helpers.sbd_tree import save_mask, sbd_tree
from helpers.trees import noise, save_picture

from psp.data.card import Card
from psp.data.cardfile import find_card, read_card


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


def found_pairs(targets, image, label):
    return {
        split: {name: (image(name), label(name, split)) for name in names}
        for split, names in targets.items()
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
    targets = lmo_tree(root, rng)
    pairs = found_pairs(
        targets,
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
    targets = sbd_tree(root, rng)
    base, added = root / "VOCdevkit/VOC2012", root / "benchmark_RELEASE"
    own = {*targets["train"], *targets["val"]}

    def label(name, split):
        if name in own:
            return base / f"SegmentationClass/{name}.png"
        return added / f"dataset/cls/{name}.mat"

    pairs = found_pairs(targets, lambda name: base / f"JPEGImages/{name}.jpg", label)
    lists = [base / f"ImageSets/Segmentation/{split}.txt" for split in ("train", "val")]
    lists += [added / f"dataset/{split}.txt" for split in ("train", "val")]
    shutil.rmtree(added / "dataset/img")
    card = counted(find_card("voc2012"), pairs)
    return Tree("sbd", root, card, pairs, lists, added, frozenset({"mat", "list"}))


BUILDERS: dict[str, Callable] = {
    build.__name__: build
    for build in (camvid, cityscapes, ade20k, voc, colors, listed, lmo, context, sbd)
}

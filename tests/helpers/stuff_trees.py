"""Miniature COCO-Stuff, BDD100K, KITTI and Mapillary Vistas, in their official layouts.

A builder writes a tree below `folder` and returns its targets: {split: {name: class ids}}, uint8
(height, width), 255 = ignore, made from the raw values as they were drawn.
"""

import numpy as np
from helpers.matlab_files import cell_column, save_mat
from helpers.trees import noise, save_picture
from PIL import Image

# COCO-Stuff's 11 names without a pixel, by their number in labels.txt.
WITHOUT_PIXELS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
NUMBERS = [number for number in range(1, 183) if number not in WITHOUT_PIXELS]
SIZE = (24, 40)


def patches(rng, values):
    """Return a label map of SIZE with the values in patches of 4x4."""
    height, width = SIZE
    return rng.choice(values, (height // 4, width // 4)).repeat(4, 0).repeat(4, 1).astype(np.uint8)


def picture(path, rng):
    save_picture(path, noise(rng, *SIZE))


def ids(raw, values):
    """Return class ids: the index in `values`, 255 for all others."""
    table = np.full(256, 255, np.uint8)
    table[np.asarray(values)] = np.arange(len(values))
    return table[raw]


def cocostuff_tree(folder, rng, maps="annotations"):
    """Label maps count from 0, and 255 is unlabeled; a converter was there, too."""
    targets = {}
    for split, count in (("train", 3), ("val", 2)):
        targets[split] = {}
        for number in range(count):
            name = f"{number:012d}"
            raw = patches(rng, [*range(182), 255])
            picture(folder / f"images/{split}2017/{name}.jpg", rng)
            save_picture(folder / f"{maps}/{split}2017/{name}.png", raw)
            save_picture(folder / f"{maps}/{split}2017/{name}_labelTrainIds.png", raw)
            targets[split][name] = ids(raw, np.array(NUMBERS) - 1)
    return targets


def cocostuff10k_tree(folder, rng, names, version="1.1"):
    """S has the numbers of labels.txt in version 1.1; `names` are the card's 171."""
    of = dict(zip(NUMBERS, names, strict=True))
    listed = [of.get(number, f"thing {number}") for number in range(1, 183)]
    if version == "1.0":
        listed = ["unlabeled", *names]
    targets = {"train": {}, "val": {}}
    for split, stem in (("train", "train"), ("val", "test")):
        for number in range(2):
            name = f"COCO_train2014_{number:011d}{'tv'.index(split[0])}"
            raw = patches(rng, range(183) if version == "1.1" else range(1, 173))
            picture(folder / f"images/{name}.jpg", rng)
            save_mat(
                folder / f"annotations/{name}.mat",
                {"S": raw.astype(float), "names": cell_column(listed)},
            )
            targets[split][name] = ids(raw, NUMBERS)
        path = folder / f"imageLists/{stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(targets[split]) + "\n")
    return targets


def bdd100k_tree(folder, rng):
    """The test split has no labels; the colormaps beside the masks are not read."""
    targets = {}
    for split, count in (("train", 3), ("val", 2), ("test", 2)):
        targets[split] = {}
        for number in range(count):
            name = f"{number:07x}d-00000000"
            raw = patches(rng, [*range(19), 255])
            picture(folder / f"images/10k/{split}/{name}.jpg", rng)
            if split != "test":
                save_picture(folder / f"labels/sem_seg/masks/{split}/{name}.png", raw)
                save_picture(
                    folder / f"labels/sem_seg/colormaps/{split}/{name}.png", noise(rng, *SIZE)
                )
            targets[split][name] = None if split == "test" else raw
    return targets


def kitti_tree(folder, rng, count):
    """{name: class ids} of the training pictures; beside the ids are colors and instances."""
    targets = {}
    for number in range(count):
        name = f"{number:06d}_10"
        raw = patches(rng, range(34))
        picture(folder / f"training/image_2/{name}.png", rng)
        save_picture(folder / f"training/semantic/{name}.png", raw)
        save_picture(folder / f"training/semantic_rgb/{name}.png", noise(rng, *SIZE))
        save_picture(folder / f"training/instance/{name}.png", raw.astype(np.uint16) * 256)
        picture(folder / f"testing/image_2/{name}.png", rng)
        targets[name] = ids(raw, [7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33])
    return targets


def mapillary_tree(folder, rng, palette, labels="v1.2/labels"):
    """Label files have the palette of version 1.2; beside them are those of version 2.0."""
    targets = {}
    for split, name in (("train", "training"), ("val", "validation"), ("test", "testing")):
        targets[split] = {}
        for number in range(2):
            key = f"_{number}-{name[:3]}AbC"
            picture(folder / f"{name}/images/{key}.jpg", rng)
            raw = patches(rng, range(66))
            targets[split][key] = None if split == "test" else ids(raw, range(65))
            if split == "test":
                continue
            file = Image.fromarray(raw)
            file.putpalette([*np.array(palette).ravel().tolist(), 0, 0, 0])
            path = folder / f"{name}/{labels}/{key}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            file.save(path)
            save_picture(folder / f"{name}/v2.0/labels/{key}.png", patches(rng, range(124)))
    return targets

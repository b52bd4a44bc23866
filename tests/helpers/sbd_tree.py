"""A miniature VOC 2012 with SBD beside it, in the official layouts.

A builder writes a tree below `folder` and returns its targets: {split: {id: (jpeg, expected)}}, the
picture's bytes and the label as uint8 (height, width) class ids, 255 = ignore. They come from the
raw values as they were drawn, and are never read back from a file.
"""

import numpy as np
from helpers.matlab_files import (
    IGNORE,
    cell_column,
    jpeg_bytes,
    patchwork,
    save_mat,
    write,
    write_list,
)
from PIL import Image
from scipy import sparse

# Every kind of overlap. Only the ids in VOC_LISTS have a mask of VOC's own.
VOC_ALONE = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033", "2007_000042"]}
SBD_ALONE = {
    "train": ["2008_000002", "2008_000003", "2008_000007", "2008_000023"],
    "val": ["2008_000008", "2008_000026", "2008_000041"],
}
TRAIN_IN_BOTH = ["2008_000015", "2008_000019"]
VOC_TRAIN_SBD_VAL = ["2008_000028"]
VAL_IN_BOTH = ["2008_000009", "2008_000073"]
VOC_VAL_SBD_TRAIN = ["2008_000016"]

VOC_LISTS = {
    "train": [*VOC_ALONE["train"], *TRAIN_IN_BOTH, *VOC_TRAIN_SBD_VAL],
    "val": [*VOC_ALONE["val"], *VAL_IN_BOTH, *VOC_VAL_SBD_TRAIN],
}
SBD_LISTS = {
    "train": [*SBD_ALONE["train"], *TRAIN_IN_BOTH, *VOC_VAL_SBD_TRAIN],
    "val": [*SBD_ALONE["val"], *VAL_IN_BOTH, *VOC_TRAIN_SBD_VAL],
}
NOWHERE = "2008_000001"  # a picture of VOC that no list names


def voc_palette():
    """VOC's color map: bits 0, 1, 2 of an id are the high bits of red, green, blue, and so on."""
    colors = []
    for value in range(256):
        color = [0, 0, 0]
        for step in range(8):
            for channel in range(3):
                color[channel] |= (value >> (3 * step + channel) & 1) << (7 - step)
        colors += color
    return colors


def save_mask(path, ids, *, palette):
    """A label PNG of mode P with VOC's 256 colors, or of mode L."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = ids.shape[1], ids.shape[0]
    picture = Image.frombytes("P" if palette else "L", size, ids.astype(np.uint8).tobytes())
    if palette:
        picture.putpalette(voc_palette())
    picture.save(path)


def with_void(ids):
    """VOC's own masks: 255 where an object ends."""
    masked = ids.copy()
    masked[:, 1:][ids[:, 1:] != ids[:, :-1]] = IGNORE
    masked[1:][ids[1:] != ids[:-1]] = IGNORE
    return masked


def object_map(rng, shape):
    return patchwork(rng, *shape, np.arange(21), block=6).astype(np.uint8)


def voc_tree(folder, rng):
    """VOC 2012 with the pictures of SBD; returns {id: jpeg}, {id: (height, width)}, {id: mask}."""
    root = folder / "VOCdevkit/VOC2012"
    own = VOC_LISTS["train"] + VOC_LISTS["val"]
    pictures, shapes, masks = {}, {}, {}
    for name in sorted({*own, *SBD_LISTS["train"], *SBD_LISTS["val"], NOWHERE}):
        # Both odd and never the same.
        shapes[name] = tuple(int(side) for side in rng.permutation(np.arange(25, 47, 2))[:2])
        pictures[name] = jpeg_bytes(rng, *shapes[name])
        write(root / f"JPEGImages/{name}.jpg", pictures[name])
        if name in own:
            masks[name] = with_void(object_map(rng, shapes[name]))
            save_mask(root / f"SegmentationClass/{name}.png", masks[name], palette=True)
    for split, ids in {**VOC_LISTS, "trainval": own}.items():
        write_list(root / f"ImageSets/Segmentation/{split}.txt", sorted(ids))
    return pictures, shapes, masks


def sbd_tree(folder, rng, *, v73=False):
    """VOC 2012 in `folder`/VOCdevkit, SBD in `folder`/benchmark_RELEASE."""
    pictures, shapes, own = voc_tree(folder, rng)
    dataset = folder / "benchmark_RELEASE/dataset"
    masks = {}
    for split, ids in SBD_LISTS.items():
        write_list(dataset / f"{split}.txt", sorted(ids))
        for number, name in enumerate(sorted(ids)):
            masks[name] = object_map(rng, shapes[name])
            write(dataset / f"img/{name}.jpg", pictures[name])
            save_mat(
                dataset / f"cls/{name}.mat",
                {"GTcls": gt_cls(masks[name])},
                v73=v73,
                compress=number % 2 == 0,
            )
    return voc_targets(pictures, own, masks)


def gt_cls(ids):
    """SBD's 1 x 1 struct: an edge map for each of the 20 classes, the label map, what is in it."""
    edge = with_void(ids) == IGNORE
    return {
        "Boundaries": cell_column([sparse.csc_array(edge & (ids == c)) for c in range(1, 21)]),
        "Segmentation": ids,
        "CategoriesPresent": np.unique(ids[ids > 0]).astype(np.float64)[:, None],
    }


def ready_aug_folder(folder, rng, *, palette=False, disagree=False):
    """VOC 2012 with `folder`/SegmentationClassAug: the masks of train_aug and of val as PNGs.

    The common download is gray (mode L). There VOC's ids have VOC's own masks; with `disagree`
    they have others.
    """
    pictures, shapes, own = voc_tree(folder, rng)
    masks = {}
    for number, name in enumerate(sorted({*own, *SBD_LISTS["train"], *SBD_LISTS["val"]})):
        masks[name] = object_map(rng, shapes[name])
        if number % 3 == 0:
            masks[name] = with_void(masks[name])
        if name in own and not disagree:
            masks[name] = own[name]
        save_mask(folder / f"SegmentationClassAug/{name}.png", masks[name], palette=palette)
    return voc_targets(pictures, own, masks)


def voc_targets(pictures, own, added):
    """train_aug is everything with a mask except VOC's val; VOC's own mask wins."""
    targets = {
        split: {name: (pictures[name], own[name]) for name in VOC_LISTS[split]}
        for split in VOC_LISTS
    }
    targets["train_aug"] = {}
    for name in [*VOC_LISTS["train"], *added]:
        if name not in VOC_LISTS["val"]:
            mask = own[name] if name in own else added[name]
            targets["train_aug"][name] = pictures[name], mask
    return targets

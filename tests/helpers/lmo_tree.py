"""A miniature LMO (SIFT Flow), in the official layout.

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
    save_narrow_double,
    write,
    write_list,
)

LMO_FOLDER = "spatial_envelope_256x256_static_8outdoorcategories"
LMO_NAMES = [
    "awning",
    "balcony",
    "bird",
    "boat",
    "bridge",
    "building",
    "bus",
    "car",
    "cow",
    "crosswalk",
    "desert",
    "door",
    "fence",
    "field",
    "grass",
    "moon",
    "mountain",
    "person",
    "plant",
    "pole",
    "river",
    "road",
    "rock",
    "sand",
    "sea",
    "sidewalk",
    "sign",
    "sky",
    "staircase",
    "streetlight",
    "sun",
    "tree",
    "window",
]
LMO_VAL = ["coast_arnat59", "forest_natu29", "mountain_natu568", "street_urb521"]
LMO_TRAIN = [
    "forest_for78",
    "insidecity_art1135",
    "mountain_land179",
    "opencountry_urb969",
    "street_a205062",
    "tallbuilding_art360",
]
LMO_UNLABELED = ["highway_bost181", "street_urb506"]  # officially in no split


def lmo_tree(folder, rng, *, v73=False):
    """33 classes on 256x256 pictures; `S` is uint8 in some files and double in others."""
    targets = {"train": {}, "val": {}}
    for number, name in enumerate(sorted(LMO_TRAIN + LMO_VAL + LMO_UNLABELED)):
        picture = jpeg_bytes(rng, 256, 256)
        raw = patchwork(rng, 256, 256, np.arange(34), block=32 - number)
        if name in LMO_UNLABELED:
            raw = np.zeros((256, 256), int)
        write(folder / "Images" / LMO_FOLDER / f"{name}.jpg", picture)
        save_lmo(folder / "SemanticLabels" / LMO_FOLDER / f"{name}.mat", raw, number, v73)
        geometry = patchwork(rng, 256, 256, np.array([-1, 1, 2, 3]), block=40).astype(np.int16)
        save_mat(
            folder / "GeoLabels" / LMO_FOLDER / f"{name}.mat",
            {"S": geometry, "names": cell_column(["sky", "horizontal", "vertical"])},
            v73=v73,
        )
        if name not in LMO_UNLABELED:
            targets["val" if name in LMO_VAL else "train"][name] = picture, lmo_ids(raw)
    lines = [f"{LMO_FOLDER}\\{name}.jpg" for name in LMO_VAL]
    write_list(folder / "TestSet1.txt", lines, end="\r\n")
    return targets


def save_lmo(path, raw, number, v73):
    """In turn: bytes, doubles, doubles stored as bytes (v5 only), bytes not deflated."""
    names = cell_column(LMO_NAMES)
    if number % 4 == 2 and not v73:
        save_narrow_double(path, "S", raw, {"names": names})
        return
    kind = np.float64 if number % 4 in (1, 2) else np.uint8
    save_mat(path, {"S": raw.astype(kind), "names": names}, v73=v73, compress=number % 4 != 3)


def lmo_ids(raw):
    expected = np.full(raw.shape, IGNORE, np.uint8)
    for number in range(1, len(LMO_NAMES) + 1):
        expected[raw == number] = number - 1
    return expected

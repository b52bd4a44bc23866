"""Roboflow's masks, Datumaro, Cityscapes' shape, Supervisely, Darwin: miniatures and real ones."""

import base64
import io
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.exports import first_problem, paint, painted, picture_named, read_export
from helpers.trees import save_picture
from PIL import Image

from psp.annotations.format import ReadOptions
from psp.annotations.place import Place
from psp.annotations.roboflow_masks import ROBOFLOW_MASKS
from psp.errors import PspError

HEIGHT, WIDTH = 40, 60
DATA = os.environ.get("PSP_TEST_DATA")
LABELING = Path(DATA or "") / "labeling"
needs_data = pytest.mark.skipif(not DATA, reason="PSP_TEST_DATA is not set")


def photo(path):
    rng = np.random.default_rng(len(path.name))
    save_picture(path, rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


def boxes(*values):
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    for index, value in enumerate(values):
        label[4 + index : 24 + index, 2 + 13 * index : 14 + 13 * index] = value
    return label


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def outside_a_border(label, answer):
    """How many pixels differ that are more than 1 pixel away from a change in the answer."""
    padded = np.pad(answer, 1, mode="edge")
    parts = [padded[y : y + HEIGHT, x : x + WIDTH] for y in range(3) for x in range(3)]
    inside = np.all([part == answer for part in parts], axis=0)
    return int(((label != answer) & inside).sum())


# Roboflow


def roboflow(folder, classes="Pixel Value, Class\n0, background\n1, road\n2, tree"):
    for split in ("train", "valid", "test"):
        stem = f"{split}_1_jpg.rf.0a1b2c"
        photo(folder / f"{split}/{stem}.jpg")
        save_picture(folder / f"{split}/{stem}_mask.png", boxes(1, 2))
        (folder / f"{split}/_classes.csv").write_text(classes)
    photo(folder / "train/my_mask.png")  # a photo that is called so: no picture "my" is there
    return folder


def test_roboflow_masks(tmp_path):
    export = read_export(roboflow(tmp_path), "roboflow-masks")
    assert export.classes == ("background", "road", "tree") and export.background == "background"
    assert {p.split for p in export.pictures if not p.problem} == {"train", "val", "test"}
    for picture in export.pictures:
        if picture.name.endswith("rf.0a1b2c"):
            label = paint(picture, HEIGHT, WIDTH, export.classes, export.order)
            np.testing.assert_array_equal(label, boxes(1, 2))
            assert picture.image.name == picture.source.name.replace("_mask.png", ".jpg")


def test_roboflow_splits_have_to_agree(tmp_path):
    (roboflow(tmp_path) / "valid/_classes.csv").write_text(
        "Pixel Value, Class\n0, a\n1, tree\n2, b"
    )
    with error_naming(PspError, "valid/_classes.csv", "test/_classes.csv", "background"):
        ROBOFLOW_MASKS.read(Place(tmp_path), ReadOptions())


# Datumaro


def datumaro(folder, colors=((0, 0, 0), (9, 130, 7), (200, 0, 50))):
    for number in range(3):
        photo(folder / f"images/{number}.png")
        save_picture(folder / f"masks/{number}.png", np.array(colors, np.uint8)[boxes(1, 2)])
    names = {"0": "Void", "1": "road", "2": "tree"}
    write_json(
        folder / "dataset_meta.json", {"label_map": names, "segmentation_colors": list(colors)}
    )
    return folder


def test_datumaro_colors_stand_in_the_order_of_the_labels(tmp_path):
    export = read_export(datumaro(tmp_path), "datumaro")
    assert export.classes == ("Void", "road", "tree") and export.ignored == {"Void"}
    ids = {"Void": 255, "road": 1, "tree": 2}
    expected = np.where(boxes(1, 2) == 0, 255, boxes(1, 2))
    np.testing.assert_array_equal(painted(export, "1", HEIGHT, WIDTH, ids), expected)
    image = np.array([(0, 0, 0), (9, 130, 8)], np.uint8)[boxes(1)]
    save_picture(tmp_path / "masks/1.png", image)
    export = read_export(tmp_path, "datumaro")
    with error_naming(PspError, "masks/1.png", "#098208"):
        paint(picture_named(export, "1"), HEIGHT, WIDTH, export.classes, export.order)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segmentation_colors": [[0, 0, 0]]}, "3 labels"),
        ({"segmentation_colors": [[0, 0, 0], [1, 2], [3, 4, 5]]}, "road"),
        ({"segmentation_colors": [[0, 0, 0], [0, 0, 0], [3, 4, 5]]}, "same color"),
        ({"label_map": {"a": "x", "1": "y", "2": "z"}}, "number"),
        ({"label_map": {"0": 3, "1": "y", "2": "z"}}, "name"),
        ({"label_map": 5}, "label_map"),
    ],
)
def test_datumaro_meta_files_that_are_odd(tmp_path, change, reason):
    path = datumaro(tmp_path) / "dataset_meta.json"
    write_json(path, json.loads(path.read_text()) | change)
    with error_naming(PspError, path, reason):
        read_export(tmp_path, "datumaro")


# Cityscapes


def cityscapes(folder, kind, save):
    for split, city in (("train", "ulm"), ("val", "bonn")):
        photo(folder / f"leftImg8bit/{split}/{city}/{city}_0_1_leftImg8bit.png")
        save(folder / f"gtFine/{split}/{city}/{city}_0_1_gtFine_{kind}")
    return folder


@pytest.mark.parametrize(
    ("kind", "values"), [("labelIds", (7, 9, 26)), ("labelTrainIds", (0, 255, 13))]
)
def test_cityscapes_ids_have_cityscapes_names_and_ignored_labels(tmp_path, kind, values):
    label = boxes(*values)
    label[label == 0] = 11 if kind == "labelIds" else 2

    if kind == "labelTrainIds":
        label[4:24, 2:14] = 0
    cityscapes(tmp_path, f"{kind}.png", lambda path: save_picture(path, label))
    export = read_export(tmp_path, "cityscapes")
    assert [(p.name, p.split) for p in export.pictures] == [
        ("train/ulm/ulm_0_1", "train"),
        ("val/bonn/bonn_0_1", "val"),
    ]
    assert export.pictures[0].image.name == "ulm_0_1_leftImg8bit.png"
    ids = {"road": 0, "car": 13, "building": 2}
    expected = np.full(label.shape, 2)
    for value, box in zip((0, 255, 13), (boxes(1), boxes(0, 1), boxes(0, 0, 1)), strict=True):
        expected[box == 1] = value
    table = {name: ids.get(name, 99) for name in export.classes}
    np.testing.assert_array_equal(painted(export, "ulm_0_1", HEIGHT, WIDTH, table), expected)


def thing(label, left, top, right, bottom, **more):
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"label": label, "polygon": corners, **more}


def test_cityscapes_polygons_and_labels_of_ones_own(tmp_path):
    objects = [
        thing("road", 0, 20, 59, 39),
        thing("cargroup", 5, 15, 25, 30),
        thing("scooter", 20, 10, 40, 30),
        thing("static", 50, 0, 59, 5),
        thing("sky", 0, 0, 59, 39, deleted=1),
    ]
    value = {"imgWidth": WIDTH, "imgHeight": HEIGHT, "objects": objects}
    cityscapes(tmp_path, "polygons.json", lambda path: write_json(path, value))
    export = read_export(tmp_path, "cityscapes")
    assert export.classes == ("unlabeled", "static", "road", "car", "scooter")
    assert export.ignored == {"unlabeled", "static"}
    expected = np.zeros((HEIGHT, WIDTH), int)
    for value, (top, bottom, left, right) in zip(
        (2, 3, 4, 1),
        ((20, 40, 0, 60), (15, 31, 5, 26), (10, 31, 20, 41), (0, 6, 50, 60)),
        strict=True,
    ):
        expected[top:bottom, left:right] = value
    ids = {name: number for number, name in enumerate(export.classes)}
    np.testing.assert_array_equal(painted(export, "bonn_0_1", HEIGHT, WIDTH, ids), expected)


# Supervisely


def packed(mask, mode):
    """A bitmap as Supervisely writes it: with the mask as alpha, or as values."""
    if mode == "RGBA":
        image = np.dstack([np.zeros((*mask.shape, 3), np.uint8), mask * 255])
    else:
        image = mask * 255
    buffer = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode()


LARGE, SMALL = packed(np.ones((90, 400)), "L"), packed(boxes(1), "L")


def piece(title, kind, **more):
    return {"classTitle": title, "geometryType": kind, "tags": [], "labelerLogin": "x", **more}


def supervisely(folder, objects):
    classes = [{"title": t, "shape": "any", "color": "#0A0B0C"} for t in ("road", "tree", "lamp")]
    write_json(folder / "meta.json", {"classes": classes, "tags": []})
    photo(folder / "train/img/a.jpeg")
    value = {"size": {"height": HEIGHT, "width": WIDTH}, "objects": objects}
    write_json(folder / "train/ann/a.jpeg.json", value)
    return folder


@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_supervisely_polygons_with_holes_and_bitmaps(tmp_path, mode):
    patch = np.array([[1, 1, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1]], np.uint8)
    outer, inner = [[4, 3], [40, 3], [40, 30], [4, 30]], [[10, 10], [20, 10], [20, 20], [10, 20]]
    objects = [
        piece("road", "polygon", points={"exterior": outer, "interior": [inner]}),
        piece("tree", "bitmap", bitmap={"data": packed(patch, mode), "origin": [50, 2]}),
        piece("lamp", "line", points={"exterior": [[1, 1], [9, 9]], "interior": []}),
        piece("tree", "rectangle", points={"exterior": [[59, 39], [45, 33]], "interior": []}),
    ]
    export = read_export(supervisely(tmp_path, objects), "supervisely")
    assert export.classes == ("road", "tree", "lamp") and export.colors["road"] == (10, 11, 12)
    picture = export.pictures[0]
    assert picture.image == tmp_path / "train/img/a.jpeg" and picture.split == "train"
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[3:31, 4:41] = 1
    expected[10:21, 10:21] = 0
    expected[2:5, 50:54] = patch * 2
    expected[33:40, 45:60] = 2
    label = painted(export, "a", HEIGHT, WIDTH, {"road": 1, "tree": 2})
    np.testing.assert_array_equal(label, expected)
    assert any("line" in remark for remark in export.remarks)
    assert any("rectangle" in remark for remark in export.remarks)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (piece("sky", "polygon", points={"exterior": [[1, 1], [5, 1], [5, 5]]}), "meta.json"),
        (piece("road", "polygon", points={"exterior": [[1, 1], [5, 1]]}), "2 points"),
        (piece("road", "bitmap", bitmap={"data": "AAAA", "origin": [0, 0]}), "packed PNG"),
        (piece("road", "bitmap", bitmap={"data": "", "origin": [0, 0]}), "PNG"),
        (
            piece(
                "road", "bitmap", bitmap={"data": packed(np.ones((90, 400)), "L"), "origin": [0, 0]}
            ),
            "larger",
        ),
        (
            piece("road", "bitmap", bitmap={"data": packed(boxes(1), "L"), "origin": [900, 0]}),
            "outside",
        ),
        (piece("road", 7), "geometryType"),
        ({"geometryType": "polygon"}, "classTitle"),
    ],
)
def test_supervisely_objects_that_are_odd(tmp_path, wrong, reason):
    export = read_export(supervisely(tmp_path, [wrong]), "supervisely")
    message = first_problem(export)
    assert "a.jpeg.json" in message and "objects[0]" in message and reason in message


# Darwin


def darwin(folder, annotations):
    photo(folder / "images/sub/a.png")
    slots = [{"type": "image", "slot_name": "0", "width": WIDTH, "height": HEIGHT}]
    item = {"name": "a.png", "path": "/sub", "slots": slots}
    write_json(
        folder / "a.json", {"version": "2.0", "schema_ref": "darwin_json/2.0", "item": item,
                            "annotations": annotations},
    )  # fmt: skip
    return folder


def path(*corners):
    return [{"x": x, "y": y} for x, y in corners]


def test_darwin_polygons_with_holes(tmp_path):
    outer = path((4, 3), (40, 3), (40, 30), (4, 30))
    inner = path((10, 10), (20, 10), (20, 20), (10, 20))
    other = path((30, 5), (50, 5), (50, 15), (30, 15))
    annotations = [
        {"id": "1", "name": "tree", "polygon": {"paths": [outer, inner]}, "bounding_box": {}},
        {"id": "2", "name": "box", "bounding_box": {"x": 1, "y": 1, "w": 5, "h": 5}},
        {
            "id": "3",
            "name": "road",
            "polygon": {"path": other},
        },
    ]
    export = read_export(darwin(tmp_path, annotations), "darwin")
    assert export.classes == ("road", "tree")
    assert export.pictures[0].image == tmp_path / "images/sub/a.png"
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[3:31, 4:41] = 2
    expected[10:20, 10:20] = 0
    expected[5:16, 30:51] = 1
    label = painted(export, "a", HEIGHT, WIDTH, {"road": 1, "tree": 2})
    assert outside_a_border(label, expected) == 0
    assert any("box alone" in remark for remark in export.remarks)


def test_darwin_raster_layers(tmp_path):
    values = boxes(2, 1, 2)
    flat = values.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    lengths = np.diff(np.append(starts, flat.size))
    dense = [int(n) for pair in zip(flat[starts], lengths, strict=True) for n in pair]
    layer = {"dense_rle": dense, "mask_annotation_ids_mapping": {"x": 1, "y": 2}, "total_pixels": 9}
    annotations = [
        {"id": "x", "name": "road", "mask": {}},
        {"id": "y", "name": "tree", "mask": {}},
        {"id": "z", "name": "__raster_layer__", "raster_layer": layer},
    ]
    export = read_export(darwin(tmp_path, annotations), "darwin")
    label = painted(export, "a", HEIGHT, WIDTH, {"road": 1, "tree": 2})
    np.testing.assert_array_equal(label, values)
    annotations[0]["id"] = "other"
    message = first_problem(read_export(darwin(tmp_path, annotations), "darwin"))
    assert "a.json" in message and "annotations[0]" in message and "mapping" in message


@pytest.mark.data
@needs_data
def test_real_masks_of_roboflow_and_datumaro():
    export = read_export(
        LABELING / "roboflow-mask/DHCN_dataset.v1i.png-mask-semantic", "roboflow-masks"
    )
    assert len(export.pictures) == 6 and export.classes[-1] == "wall"
    for picture in export.pictures:
        answer = np.array(Image.open(picture.source))
        label = paint(picture, *answer.shape, export.classes, export.order)
        np.testing.assert_array_equal(label, answer)
    for name, count in (("dataset", 6), ("non_standard_dataset", 8)):
        export = read_export(LABELING / "datumaro-common-semseg" / name, "datumaro")
        assert len(export.classes) == count and not first_problem(export, 1, 5)
        assert all(p.image for p in export.pictures)


@pytest.mark.data
@needs_data
def test_a_real_file_of_darwin():
    folder = LABELING / "darwin/darwin-py-instance_mask"
    export = read_export(folder / "from", "darwin")
    (picture,) = export.pictures
    assert picture.size == (640, 427)
    for number, shape in enumerate(picture.drawn):
        name = f"{picture.name}_{number:05d}.png"
        answer = np.array(Image.open(folder / "to/masks" / name).convert("L")) > 0
        top, left, mask = shape.region.cover(427, 640)
        label = np.zeros(answer.shape, bool)
        label[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
        assert (label != answer).sum() <= 2

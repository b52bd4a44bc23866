"""Annotation files with odd values everywhere: one line that names the file, never a traceback."""

import base64
import contextlib
import io
import json
import zlib

import numpy as np
import pytest
from helpers.covers import brush_bytes, column_counts, packed
from helpers.exports import first_problem
from helpers.mutations import damaged, damaged_text
from PIL import Image

from psp.annotations.format import ReadOptions
from psp.annotations.place import Place
from psp.annotations.registry import recognize
from psp.errors import PspError

ROUNDS = 150

MASK = np.add.outer(np.arange(40), np.arange(60)) // 9 % 5 == 1
_FILE = io.BytesIO()
Image.fromarray(MASK[:2, 7:10]).save(_FILE, "PNG")
PNG = base64.b64encode(_FILE.getvalue()).decode()
ZIPPED = base64.b64encode(zlib.compress(_FILE.getvalue())).decode()

LABELME = {
    "version": "5.5.0",
    "shapes": [
        {"label": "car", "points": [[1, 2], [20.5, 3], [9, 30.9]], "shape_type": "polygon"},
        {"label": "sky", "points": [[1, 2], [20.5, 3]], "shape_type": "circle", "group_id": None},
        {"label": "sky", "points": [[1, 2], [4, 4]], "shape_type": "mask", "mask": PNG},
    ],
    "imagePath": "a.png",
    "imageData": None,
    "imageHeight": 40,
    "imageWidth": 60,
}  # fmt: skip
COCO = {
    "images": [{"id": 5, "file_name": "a.png", "width": 60, "height": 40}],
    "annotations": [
        {"image_id": 5, "category_id": 1, "segmentation": [[1, 2, 20.5, 3, 9, 30]], "iscrowd": 0},
        {"image_id": 5, "category_id": 0, "segmentation": {"size": [40, 60], "counts": [0, 2400]}},
        {
            "image_id": 5,
            "category_id": 0,
            "segmentation": {"size": [40, 60], "counts": packed(column_counts(MASK))},
        },
    ],
    "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b", "color": [1, 2, 3]}],
}
PANOPTIC = {
    "images": [{"id": 5, "file_name": "a.jpg", "width": 60, "height": 40}],
    "annotations": [
        {"image_id": 5, "file_name": "a.png", "segments_info": [{"id": 3, "category_id": 1}]}
    ],
    "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b", "color": [1, 2, 3]}],
}
LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/a.png"},
        "annotations": [
            {
                "was_cancelled": False,
                "result": [
                    {
                        "id": "x",
                        "type": "polygonlabels",
                        "value": {"points": [[1, 2], [20, 3], [9, 30]], "polygonlabels": ["a"]},
                        "original_width": 60,
                        "original_height": 40,
                    },
                    {
                        "id": "y",
                        "type": "brushlabels",
                        "value": {"rle": list(brush_bytes(MASK)), "brushlabels": ["b"]},
                    },
                ],
            }
        ],
    }
]
_CORNERS = [[1, 2], [20, 3], [9, 30]]
CITYSCAPES = {
    "imgHeight": 40,
    "imgWidth": 60,
    "objects": [{"label": "road", "polygon": _CORNERS}, {"label": "own", "polygon": _CORNERS}],
}
DARWIN = {
    "version": "2.0",
    "schema_ref": "darwin_json",
    "item": {"name": "a.png", "path": "/", "slots": [{"type": "image", "width": 60, "height": 40}]},
    "annotations": [
        {"id": "1", "name": "b", "polygon": {"paths": [[{"x": x, "y": y} for x, y in _CORNERS]]}},
        {"id": "2", "name": "c", "mask": {}},
        {
            "raster_layer": {
                "dense_rle": [0, 100, 1, 2300],
                "mask_annotation_ids_mapping": {"2": 1},
            },
        },
    ],
}
SUPERVISELY = {
    "size": {"height": 40, "width": 60},
    "objects": [
        {
            "classTitle": "a",
            "geometryType": "polygon",
            "points": {"exterior": _CORNERS, "interior": [_CORNERS]},
        },
        {"classTitle": "b", "geometryType": "rectangle", "points": {"exterior": [[1, 2], [9, 9]]}},
        {"classTitle": "c", "geometryType": "bitmap", "bitmap": {"data": ZIPPED, "origin": [1, 2]}},
    ],
}
FILES = {
    "cityscapes": ("a_gtFine_polygons.json", CITYSCAPES),
    "darwin": ("a.json", DARWIN),
    "supervisely": ("ann/a.png.json", SUPERVISELY),
    "labelme": ("a.json", LABELME),
    "coco": ("instances.json", COCO),
    "coco-panoptic": ("panoptic.json", PANOPTIC),
    "label-studio": ("export.json", LABEL_STUDIO),
    "ultralytics": ("a.txt", "0 0.1 0.1 0.9 0.2 0.5 0.8\n1 0.5 0.5 0.6 0.6 0.5 0.7\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_odd_values_are_reported_in_one_line(tmp_path, name):
    rng = np.random.default_rng(11)
    file, value = FILES[name]
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    (tmp_path / "data.yaml").write_text("train: .\nnames: [a, b]" if path.suffix == ".txt" else "")
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    assert list(recognize(Place(tmp_path))) == [name]
    format = recognize(Place(tmp_path))[name]
    assert not first_problem(format.read(Place(tmp_path), ReadOptions()))
    reported = 0
    for _ in range(ROUNDS):
        path.write_text(damaged_text(value, rng) if path.suffix == ".txt" else damaged(value, rng))
        recognize(Place(tmp_path))
        message = ""
        try:
            message = first_problem(format.read(Place(tmp_path), ReadOptions()))
        except PspError as error:
            message = str(error)
        if message:
            reported += 1
            assert str(tmp_path) in message
            assert len(message.splitlines()) == 1 and len(message) < 600
    assert reported > ROUNDS // 8


def test_any_bytes_are_looked_at_without_an_error(tmp_path, rng):
    for number, suffix in enumerate((".json", ".yaml", ".txt", ".xml") * 5):
        (tmp_path / f"{number}{suffix}").write_bytes(rng.bytes(300))
    (tmp_path / "empty.json").write_bytes(b"")
    for format in recognize(Place(tmp_path)).values():
        with contextlib.suppress(PspError):
            format.read(Place(tmp_path), ReadOptions())

"""Pictures are found by the names that tools write: paths, URLs, uploads, other encodings."""

import json

import pytest
from helpers.exports import read_export
from helpers.trees import noise, save_picture

from psp.annotations.pictures import Pictures
from psp.annotations.place import Place


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ("photos/a.jpg", "photos/a.jpg"),
        (r"C:\Users\me\photos\a.jpg", "photos/a.jpg"),
        ("https://host.org/bucket/a.jpg?sig=x%2Fb.jpg&t=1", "photos/a.jpg"),
        ("s3://bucket/photos/a.jpg", "photos/a.jpg"),
        ("http://localhost:8080/data/local-files/?d=photos/a.jpg", "photos/a.jpg"),
        ("my%20house.jpg", "photos/my house.jpg"),
        ("100%25.jpg", "photos/100%25.jpg"),  # written as it is before it is read as a code
        ("3f2a1b4c-a.jpg", "photos/a.jpg"),
        ("3f2a1b4c-my_house.jpg", "photos/my house.jpg"),
        ("my_house.jpg", None),
    ],
)
def test_a_picture_is_found_by_what_tools_write(tmp_path, rng, wanted, there):
    for name in ("a", "my house", "100%25", "100%"):
        save_picture(tmp_path / f"photos/{name}.jpg", noise(rng, 8, 8))
    found = Pictures(Place(tmp_path)).find(wanted)
    assert found == (tmp_path / there if there else None)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_of_windows_is_read(tmp_path, rng, encoding):
    save_picture(tmp_path / "a.jpg", noise(rng, 20, 30))
    shape = {"label": "Gründach", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
    record = {"version": "5", "shapes": [shape], "imagePath": "a.jpg", "imageData": None}
    text = json.dumps(record, indent=1, ensure_ascii=False).replace("\n", "\r\n")
    (tmp_path / "a.json").write_bytes(text.encode(encoding))
    export = read_export(tmp_path, "labelme")
    assert export.classes == ("Gründach",) and not export.pictures[0].problem


@pytest.mark.parametrize("key", ["path", "coco_url"])
def test_coco_without_file_name_names_its_picture_otherwise(tmp_path, rng, key):
    save_picture(tmp_path / "a.jpg", noise(rng, 20, 30))
    ring = [1, 1, 9, 1, 9, 9]
    record = {
        "images": [{"id": 1, key: "http://host/x/a.jpg", "width": 30, "height": 20}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [ring]}],
        "categories": [{"id": 1, "name": "tree"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(record))
    assert read_export(tmp_path, "coco").pictures[0].image == tmp_path / "a.jpg"

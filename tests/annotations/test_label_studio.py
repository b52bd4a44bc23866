"""Label Studio's exports: percent, brush strokes, which annotation counts, where pictures are."""

import json

import numpy as np
import pytest
from helpers.covers import brush_bytes
from helpers.exports import compare, first_problem, paint, read_export
from PIL import Image

from psp.errors import PspError

HEIGHT, WIDTH = 40, 60
SIZE = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
SQUARE = [[10, 20], [50, 20], [50, 70], [10, 70]]  # in pixels x 6…30, y 8…28
CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="label" toName="image"><Label value="tree" background="#0a0"/>
<Label value="car"/></PolygonLabels>
<RectangleLabels name="box" toName="image"><Label value="boxed"/></RectangleLabels></View>"""


def polygon(label, ring=SQUARE, **more):
    value = {"points": ring, "polygonlabels": [label], "closed": True}
    return {"id": "p", "type": "polygonlabels", "value": value, **SIZE, **more}


def brush(label, mask, kind="brushlabels", **more):
    value = {"format": "rle", "rle": list(brush_bytes(mask))}
    value |= {kind: [label]} if label else {}
    return {"id": "b", "type": kind, "value": value, **SIZE, **more}


def task(number, picture, *annotations, **more):
    annotations = [a if isinstance(a, dict) else {"result": a} for a in annotations]
    return {"id": number, "data": {"image": picture}, "annotations": annotations, **more}


def save(folder, value, name="export.json"):
    (folder / name).write_text(json.dumps(value))
    for picture in "ab":
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{picture}.jpg")
    return folder


def read(folder):
    return read_export(folder, "label-studio")


def painted(export, position=0):
    picture = export.pictures[position]
    assert not picture.problem
    return paint(picture, HEIGHT, WIDTH, export.classes, export.order)


def test_polygons_in_percent_and_brush_strokes(tmp_path, rng):
    mask = rng.random((HEIGHT, WIDTH)) < 0.2
    export = read(save(tmp_path, [task(7, "a.jpg", [polygon("tree"), brush("road", mask)])]))
    expected = np.full((HEIGHT, WIDTH), -1)
    expected[8:28, 6:30] = 1
    expected[mask] = 0
    assert export.classes == ("road", "tree")
    assert np.array_equal(painted(export), expected)
    assert export.pictures[0].size == (WIDTH, HEIGHT)


def test_polygons_are_filled_as_pycocotools_does(tmp_path, rng):
    reference = pytest.importorskip("pycocotools.mask")
    ring = rng.uniform(0, 100, (6, 2))
    export = read(save(tmp_path, [task(1, "a.jpg", [polygon("x", ring.tolist())])]))
    pixels = (ring / 100 * (WIDTH, HEIGHT)).ravel().tolist()
    expected = reference.decode(reference.frPyObjects([pixels], HEIGHT, WIDTH))[..., 0]
    assert np.count_nonzero((painted(export) == 0) != (expected == 1)) <= 1


def test_an_ellipse_in_percent_turns_in_pixels(tmp_path):
    value = {"x": 50.3, "y": 50.3, "radiusX": 30.1, "radiusY": 10.1, "rotation": 90}
    value["ellipselabels"] = ["x"]
    result = {"type": "ellipselabels", "value": value, **SIZE}
    label = painted(read(save(tmp_path, [task(1, "a.jpg", [result])]))) == 0
    rows, columns = np.flatnonzero(label.any(axis=1)), np.flatnonzero(label.any(axis=0))
    assert abs(len(rows) - 36) <= 1 and abs(len(columns) - 8) <= 1


def test_a_twin_without_labels_is_the_same_region(tmp_path, rng):
    mask = rng.random((HEIGHT, WIDTH)) < 0.5
    twins = [brush("", mask, "magicwand"), brush("cloud", mask, "labels")]
    export = read(save(tmp_path, [task(1, "a.jpg", twins)]))
    assert np.array_equal(painted(export) == 0, mask) and not export.remarks
    export = read(save(tmp_path, [task(1, "a.jpg", twins[:1])]))
    assert not export.pictures[0].drawn and "1 region without a label" in export.remarks[0]


def test_results_without_area_are_left_out_and_counted(tmp_path):
    box = {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["boxed"]}
    point = {"x": 1, "y": 2, "width": 3, "keypointlabels": ["p"]}
    results = [
        {"type": "rectanglelabels", "value": box, **SIZE},
        {"type": "keypointlabels", "value": point, **SIZE},
        {"type": "choices", "value": {"choices": ["good"]}},
        polygon("tree"),
    ]
    export = read(save(tmp_path, [task(5, "a.jpg", results)]))
    assert export.classes == ("tree",) and len(export.pictures[0].drawn) == 1
    said = " ".join(export.remarks)
    assert "1 rectangle" in said and "task 5: result[0]" in said and "'keypointlabels'" in said


def test_which_annotation_of_a_task_counts(tmp_path):
    cancelled = {"result": [polygon("no")], "was_cancelled": True}
    truth = {"result": [polygon("truth")], "ground_truth": True}
    value = [
        task(1, "a.jpg", [polygon("first")], [polygon("last")], cancelled),
        task(2, "b.jpg", truth, [polygon("last")]),
        task(3, "c.jpg", cancelled),
        task(4, "d.jpg"),
        task(5, "e.jpg", predictions=[{"result": [polygon("guess")]}]),
    ]
    export = read(save(tmp_path, value))
    labels = [[shape.label for shape in picture.drawn] for picture in export.pictures]
    assert labels == [["last"], ["truth"]]
    said = " ".join(export.remarks)
    assert "2 tasks with several annotations" in said and "1 task left out: skipped" in said
    assert "1 task without annotations left out" in said and "with predictions left out" in said


def test_short_form_and_bare_predictions(tmp_path, rng):
    mask = rng.random((HEIGHT, WIDTH)) < 0.5
    value = {"format": "rle", "rle": list(brush_bytes(mask)), "brushlabels": ["b"], **SIZE}
    short = [
        {"image": "/data/upload/1/0123abcd-a.jpg", "id": 1, "tag": [value], "annotator": 1,
         "annotation_id": 4},
        {"image": "b.jpg", "id": 2, "label": [{"points": SQUARE, "polygonlabels": ["p"], **SIZE}],
         "annotator": 1},
    ]  # fmt: skip
    export = read(save(tmp_path, short))
    assert export.classes == ("b", "p") and np.array_equal(painted(export) == 0, mask)
    assert (painted(export, 1) == 1).sum() == 480
    result = polygon("p")
    del result["original_width"], result["original_height"]
    bare = [{"result": [result], "task": 1, "data": {"image": "a.jpg"}}, {"result": [], "task": 2}]
    export = read(save(tmp_path, bare))
    assert (painted(export) == 0).sum() == 480
    assert export.pictures[0].size is None and "task 2" in export.pictures[1].problem


@pytest.mark.parametrize(
    "address",
    [
        "a.jpg",
        "/data/upload/12/a.jpg",
        "/data/upload/12/9f3c2a10-a.jpg",
        "/data/local-files/?d=photos%2Fsite/a.jpg",
        "https://example.com/bucket/a.jpg?X-Amz-Signature=1#x",
        "s3://bucket/photos/a.jpg",
        "C:\\photos\\a.jpg",
        "/photos/a.JPG",
    ],
)
def test_the_picture_is_found_by_the_last_part_of_its_address(tmp_path, address):
    export = read(save(tmp_path, [task(1, address, [polygon("x")])]))
    assert export.pictures[0].image == tmp_path / "a.jpg"


def test_a_thumbnail_is_not_the_picture(tmp_path):
    value = [task(1, ["/photos?id=a"], [polygon("x")], file_upload="a.jpg")]
    value[0]["data"] |= {"thumb": "b.jpg", "caption": "none"}
    assert read(save(tmp_path, value)).pictures[0].image == tmp_path / "a.jpg"


def test_a_name_without_a_type_is_that_of_the_uploaded_file(tmp_path):
    value = [task(1, "/image2", [polygon("x")], file_upload="01234567-a.jpg")]
    assert read(save(tmp_path, value)).pictures[0].image == tmp_path / "a.jpg"


def test_the_configuration_orders_classes(tmp_path):
    (tmp_path / "config.xml").write_text(CONFIG)
    export = read(save(tmp_path, [task(1, "a.jpg", [polygon("car"), polygon("new")])]))
    assert export.classes == ("tree", "car", "new") and export.colors == {"tree": (0, 170, 0)}
    (tmp_path / "config.xml").write_text(CONFIG[:-9])
    with pytest.raises(PspError, match=r"config\.xml"):
        read(tmp_path)
    (tmp_path / "config.xml").write_text(f"<!DOCTYPE x [<!ENTITY a 'b'>]>{CONFIG}")
    with pytest.raises(PspError, match=r"config\.xml"):
        read(tmp_path)


MASK = np.eye(HEIGHT, WIDTH) == 1


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (polygon("x", [[1, 2], [3, 4]]), "2 points"),
        (polygon("x", [[1, 2], [3, 4], [5, None]]), "no number"),
        (polygon("x", [[101, 2], [103, 4], [105, 6]]), "outside"),
        (polygon("x", [[1, 2], [3, 4], [5, 1e5]]), "far outside"),
        (polygon(None), "polygonlabels"),
        (polygon("x") | {"value": {"points": SQUARE, "polygonlabels": ["x", "y"]}}, "several"),
        (polygon("x", image_rotation=90), "turned by 90"),
        (polygon("x", original_width="60"), "width"),
        (polygon("x", original_width=61), "61x40"),
        (brush("x", MASK[1:]), "another picture"),
        (brush("x", MASK) | {"value": {"rle": [256], "brushlabels": ["x"]}}, "no byte"),
        (brush("x", MASK) | {"value": {"rle": "AAAA", "brushlabels": ["x"]}}, "bytes"),
        (brush("x", MASK) | {"value": {"rle": [0, 0, 37, 128], "brushlabels": ["x"]}}, "early"),
        ("x", "no result"),
    ],
)
def test_a_wrong_result_is_named_and_the_other_picture_stays(tmp_path, result, reason):
    value = [task(1, "a.jpg", [polygon("x"), result]), task(2, "b.jpg", [polygon("x")])]
    export = read(save(tmp_path, value))
    problem = first_problem(export, HEIGHT, WIDTH)
    assert str(tmp_path / "export.json") in problem and "task 1" in problem and reason in problem
    assert "result[1]" in problem or "61x40" in problem
    assert (painted(export, 1) == 0).sum() == 480


def test_tasks_of_one_picture_and_files_of_the_same_pictures(tmp_path):
    value = [task(1, "a.jpg", [polygon("x")]), task(2, "/up/a.jpg", [polygon("y")])]
    export = read(save(tmp_path, value))
    assert all("2 tasks" in picture.problem for picture in export.pictures)
    save(tmp_path, value, "again.json")
    with pytest.raises(PspError, match=r"again\.json and export\.json"):
        read(tmp_path)


def test_a_task_of_several_pictures_or_none(tmp_path):
    value = [task(1, ["a.jpg", "b.jpg"], [polygon("x")]), task(2, "a.jpg", None)]
    value[1]["data"] = {}
    export = read(save(tmp_path, value))
    assert all("no picture" in picture.problem for picture in export.pictures)


def test_broken_json_is_named_with_its_line(tmp_path):
    text = json.dumps([task(1, "a.jpg", [polygon("x")])], indent=1)
    save(tmp_path, [])
    (tmp_path / "export.json").write_text(text[:-20])
    with pytest.raises(PspError, match=r"export\.json: broken JSON in line"):
        read(tmp_path)


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["sdk-test_export_coco", "sdk-test_export_yolo", "frontend-image_magic_wand"]
)
def test_real_exports_have_the_sdks_answers(real_data, name):
    export = read(real_data / "labeling/label-studio" / name)
    assert len(export.pictures) == 1
    answers = real_data / "labeling/expected/label-studio" / name
    found = list(compare(export, answers, only_picture=True))
    assert len(found) == 1
    for _, label, answer in found:
        assert np.array_equal(label, answer)

"""labelme's files, painted as labelme paints them, and what is wrong with one of many."""

import base64
import io
import json

import numpy as np
import pytest
from helpers.exports import compare, first_problem, paint, picture_named, read_export
from PIL import Image, ImageDraw

from psp.annotations.labelme import embedded_picture
from psp.annotations.place import Place
from psp.annotations.registry import recognize
from psp.errors import PspError

HEIGHT, WIDTH = 40, 60


def shape(label, kind, points, **more):
    return {"label": label, "points": points, "shape_type": kind, "flags": {}, **more}


def picture_bytes(color=(10, 20, 30), kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), color).save(file, kind)
    return file.getvalue()


def png_text(mask):
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def save(folder, name, shapes, **more):
    value = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{name}.png"}
    value |= {"imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH, **more}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(value))
    return value


@pytest.fixture
def folder(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(picture_bytes())
    save(tmp_path, "a", [shape("car", "polygon", [[1, 2], [20.5, 3], [9, 30.9]])])
    save(tmp_path, "b", [shape("road", "rectangle", [[30, 35], [10, 5]])])
    return tmp_path


def read(folder):
    return read_export(folder, "labelme")


def test_every_kind_of_shape_is_painted_as_pillow_draws_it(folder, rng):
    mask = rng.random((7, 12)) < 0.5
    triangle = [(40.0, 30.0), (55.0, 33.0), (44.0, 38.5)]
    shapes = [
        shape("polygon", "polygon", [[1, 2], [20.5, 3], [9, 30.9]]),
        shape("rectangle", "rectangle", [[30, 35], [25.5, 20]]),
        shape("circle", "circle", [[45, 10], [49, 13]]),
        shape("line", "line", [[3, 36], [22, 30]]),
        shape("strip", "linestrip", [[30, 3], [33, 9], [24, 15]]),
        shape("point", "point", [[55.5, 25]]),
        shape("prompt", "points", [[1, 1], [2, 2]]),
        shape("turned", "oriented_rectangle", [[5, 10], [9, 8], [12, 14], [8, 16]]),
        shape("mask", "mask", [[20.4, 1], [32.4, 8]], mask=png_text(mask)),
        shape("old", None, triangle),
    ]
    save(folder, "a", shapes)
    expected = Image.new("L", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(expected)
    draw.polygon([(1, 2), (20.5, 3), (9, 30.9)], fill=1, outline=1)
    draw.rectangle([25.5, 20, 30, 35], fill=2, outline=2)
    draw.ellipse([40, 5, 50, 15], fill=3, outline=3)
    draw.line([(3, 36), (22, 30)], fill=4, width=10)
    draw.line([(30, 3), (33, 9), (24, 15)], fill=5, width=10)
    draw.ellipse([50.5, 20, 60.5, 30], fill=6, outline=6)
    draw.polygon([(5, 10), (9, 8), (12, 14), (8, 16)], fill=8, outline=8)
    answer = np.array(expected)
    answer[1:8, 20:32][mask] = 9
    expected = Image.fromarray(answer)
    ImageDraw.Draw(expected).polygon(triangle, fill=10, outline=10)
    export = read(folder)
    names = ["", *(s["label"] for s in shapes)]
    label = paint(picture_named(export, "a"), HEIGHT, WIDTH, names, export.order)
    assert np.array_equal(np.where(label == -1, 0, label), np.array(expected))
    said = " ".join(export.remarks)
    assert "2 lines" in said and "1 point " in said and "'points'" in said and "a.json" in said


def test_a_mask_with_whole_corners_ends_on_its_second_point(folder):
    mask = np.array([[1, 0, 1], [0, 1, 1]])
    for corners in ([[4, 9], [6, 10]], [[4, 9], [7, 11]]):
        save(folder, "a", [shape("m", "mask", corners, mask=png_text(mask))])
        label = paint(picture_named(read(folder), "a"), HEIGHT, WIDTH, ["m"], "file-order")
        assert np.array_equal(label[9:11, 4:7] == 0, mask == 1) and (label == 0).sum() == 4
    save(folder, "a", [shape("m", "mask", [[4, 9], [14, 30]], mask=png_text(mask))])
    assert "a.json: shapes[0]" in first_problem(read(folder))


def test_labels_are_sorted_and_special_ones_come_first(folder):
    save(folder, "a", [shape(n, "point", [[5, 5]]) for n in ("z", "__ignore__", "_background_")])
    export = read(folder)
    assert export.classes == ("__ignore__", "_background_", "road", "z")
    assert (export.background, export.ignored) == ("_background_", {"__ignore__"})


def test_a_list_of_labels_orders_and_binds(folder):
    (folder / "labels.txt").write_text("__ignore__\n_background_\nroad\ntree\ncar\n\n")
    assert read(folder).classes == ("__ignore__", "_background_", "road", "tree", "car")
    (folder / "labels.txt").write_text("road\n")
    problem = picture_named(read(folder), "a").problem
    assert "a.json: shapes[0]: 'car'" in problem and "labels.txt" in problem
    assert not picture_named(read(folder), "b").problem


def test_the_picture_is_looked_for_in_order_of_trust(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("photos/a.jpg", "photos/b.png", "c.png", "other.png"):
        (tmp_path / name).write_bytes(picture_bytes())
    data = base64.b64encode(picture_bytes((1, 2, 3))).decode()
    save(tmp_path / "json", "a", [], imagePath="..\\photos\\a.jpg")
    save(tmp_path / "json", "b", [], imagePath="C:/old place/photos/b.jpg")
    save(tmp_path / "json", "c", [], imagePath="c.json")
    save(tmp_path / "json", "d", [], imagePath="other.png", imageData=data)
    save(tmp_path / "json", "e", [], imagePath="../gone/e.png")
    found = {p.wanted: (p.image, p.embedded) for p in read(tmp_path).pictures}
    assert found == {
        "..\\photos\\a.jpg": (tmp_path / "photos/a.jpg", False),
        "C:/old place/photos/b.jpg": (tmp_path / "photos/b.png", False),
        "c": (tmp_path / "c.png", False),
        "other.png": (tmp_path / "other.png", True),
        "../gone/e.png": (None, False),
    }
    assert embedded_picture(tmp_path / "json/d.json") == picture_bytes((1, 2, 3))
    assert [p.size for p in read(tmp_path / "json").pictures] == [(WIDTH, HEIGHT)] * 5


def test_files_of_the_first_versions(folder):
    value = save(folder, "a", [])
    old = {"label": "car", "points": [[1, 2], [20, 3], [9, 30]], "line_color": None}
    value = {"shapes": [old], "lineColor": [0, 255, 0, 128], "imagePath": "a.png", "imageData": ""}
    (folder / "a.json").write_text(json.dumps(value))
    picture = picture_named(read(folder), "a")
    assert picture.size is None and not picture.embedded
    assert (paint(picture, HEIGHT, WIDTH, ["car"], "file-order") == 0).sum() > 250


@pytest.mark.parametrize(
    ("points", "kind", "reason"),
    [
        ([[1, 2], [3, 4]], "polygon", "2 points"),
        ([[1, 2], [3, float("nan")], [5, 6]], "polygon", "nan"),
        ([[1, 2], [3, 1e30], [5, 6]], "polygon", "1e+30"),
        ([[100, 2], [130, 4], [120, 9]], "polygon", "outside"),
        ([[100, 2]], "point", "outside"),
        ([[1, 2]], "circle", "1 points"),
        ([[1, 2], [3, 4]], "cube", "'cube'"),
        ([[1, 2], [3, 4]], ["line"], "not known"),
        ([[1, 2], [3, 4]], "mask", "mask"),
        ("1 2 3 4", "polygon", "list"),
        (None, "polygon", "list"),
    ],
)
def test_a_wrong_shape_is_named_and_the_other_picture_stays(folder, points, kind, reason):
    good = shape("car", "point", [[5, 5]])
    save(folder, "a", [good, shape("car", kind, points)])
    problem = first_problem(read(folder))
    assert str(folder / "a.json") in problem and "shapes[1]" in problem and reason in problem
    assert not picture_named(read(folder), "b").problem


@pytest.mark.parametrize(
    "change",
    [
        {"shapes": None}, {"shapes": ["x"]}, {"imageHeight": -3}, {"imageWidth": "60"},
        {"imageData": 7}, {"imagePath": ["a.png"]},
        {"shapes": [{"label": None}]}, {"shapes": [{"label": ""}]},
    ],
)  # fmt: skip
def test_a_wrong_value_is_the_problem_of_its_picture(folder, change):
    save(folder, "a", **{"shapes": [], **change})
    assert str(folder / "a.json") in picture_named(read(folder), "a").problem


def test_broken_files_are_named(folder):
    text = (folder / "a.json").read_text()
    for broken in (text[:-30], "", "\xff", text.replace("[", "[" * 10**5, 1)):
        (folder / "a.json").write_bytes(broken.encode("latin1"))
        assert str(folder / "a.json") in picture_named(read(folder), "a").problem


def test_two_files_of_one_picture(folder):
    save(folder, "a2", [], imagePath="a.png")
    problems = {p.name: p.problem for p in read(folder).pictures}
    assert "a2.json" in problems["a"] and "a.json" in problems["a2"] and not problems["b"]


def test_other_json_files_are_left_out_and_counted(folder):
    (folder / "settings.json").write_text('{"theme": "dark"}')
    export = read(folder)
    assert len(export.pictures) == 2
    assert any("settings.json" in remark for remark in export.remarks)
    (folder / "a.json").write_text("{}")
    (folder / "b.json").write_text('{"images": [], "annotations": []}')
    assert "labelme" not in recognize(Place(folder))


@pytest.mark.parametrize("data", ["###", "", 7, "data:image/png;base64,", "AAA"])
def test_an_embedded_picture_that_is_none(folder, data):
    save(folder, "a", [], imageData=data)
    with pytest.raises(PspError, match=r"a\.json.*imageData"):
        embedded_picture(folder / "a.json")


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "labelme-semantic_segmentation", "labelme-primitives", "labelme-old/2018-03",
        "labelme-old/4.0.0-colors", "2label-labelme",
    ],
)  # fmt: skip
def test_real_exports_have_labelmes_own_answers(real_data, name):
    export = read(real_data / "labeling/labelme" / name)
    answers = real_data / "labeling/expected/labelme" / name.replace("old/", "old-")
    found = list(compare(export, answers))
    assert len(found) == len(export.pictures)
    for _, label, answer in found:
        assert np.count_nonzero(label != answer) <= 10

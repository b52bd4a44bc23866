"""CVAT's XML: shapes, order, splits, tracks on a clip, and files that are odd."""

import os
from pathlib import Path
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.exports import first_problem, painted, picture_named, read_export
from helpers.trees import save_picture

from psp.annotations.cvat import CVAT
from psp.annotations.format import ReadOptions
from psp.annotations.place import Place
from psp.annotations.registry import recognize
from psp.annotations.video import read_frame
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.images.pictures import decode_image

HEIGHT, WIDTH = 41, 58
IDS = {"roof": 1, "wall": 2, "sky": 3}
DATA = os.environ.get("PSP_TEST_DATA")
Y, X = np.mgrid[:HEIGHT, :WIDTH] + 0.5  # the centers of pixels


def tag(name, inside="", /, **attributes):
    """An element with its attributes in reverse order, as some programs write them."""
    text = " ".join(f"{k}={quoteattr(str(v))}" for k, v in reversed(attributes.items()))
    return f"<{name} {text}>{inside}</{name}>"


def document(content, labels=("roof", "wall", "sky"), where="task", more=""):
    listed = "".join(
        f"<label><name>{name}</name><color>#0{n}1020</color><attributes/></label>"
        for n, name in enumerate(labels)
    )
    meta = f"<meta><{where}>{more}<labels>{listed}</labels></{where}><dumped>today</dumped></meta>"
    start = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    return f"{start}{meta}\n{content}\n</annotations>\n"


def image(shapes, name="a.png", **attributes):
    sides = {"width": WIDTH, "height": HEIGHT}
    return tag("image", "\n".join(["", *shapes, ""]), id=0, name=name, **(sides | attributes))


def written(folder, text, pictures=("a.png",)):
    folder.mkdir(exist_ok=True)
    (folder / "annotations.xml").write_text(text, encoding="utf-8")
    for name in pictures:
        save_picture(folder / "images" / name, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    return folder


def box(label, left, top, right, bottom, **more):
    return tag("box", label=label, xtl=left, ytl=top, xbr=right, ybr=bottom, occluded=0, **more)


def between(values, low, high):
    return (values > low) & (values < high)


def test_every_shape_with_area_is_painted(tmp_path):
    rle = "3, 4, 2, 1, 5, 10, 5"  # along the rows of a box of 10 x 3
    shapes = [
        box("roof", 3, 5, 17, 11),
        tag("ellipse", label="wall", cx=40, cy=20.5, rx=12, ry=6),
        tag("mask", label="sky", rle=rle, left=4, top=30, width=10, height=3),
        tag("polygon", label="roof", points="20,30;34.00,30.0;34,38;20,38"),
    ]
    export = read_export(written(tmp_path, document(image(shapes))), "cvat")
    assert export.classes == ("roof", "wall", "sky") and export.colors["wall"] == (1, 16, 32)
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[5:11, 3:17] = 1
    expected[((X - 40) / 12) ** 2 + ((Y - 20.5) / 6) ** 2 <= 1] = 2
    drawn = np.repeat([0, 3, 0, 3, 0, 3, 0], [int(n) for n in rle.split(",")])
    expected[30:33, 4:14] = drawn.reshape(3, 10)
    expected[30:38, 20:34] = 1
    assert export.pictures[0].size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(painted(export, "a", HEIGHT, WIDTH, IDS), expected)


def test_rotation_is_clockwise_in_degrees_about_the_center(tmp_path):
    shapes = [
        box("roof", 10, 18, 30, 22, rotation=90),
        tag("ellipse", label="wall", cx=44, cy=20, rx=12, ry=3, rotation=30),
    ]
    export = read_export(written(tmp_path, document(image(shapes))), "cvat")
    label = painted(export, "a", HEIGHT, WIDTH, IDS)
    np.testing.assert_array_equal(label == 1, between(X, 18, 22) & between(Y, 10, 30))
    # The long axis goes down to the right: y is down, so a clockwise turn adds to it.
    angle = np.deg2rad(30)
    along = (X - 44) * np.cos(angle) + (Y - 20) * np.sin(angle)
    across = (Y - 20) * np.cos(angle) - (X - 44) * np.sin(angle)
    np.testing.assert_array_equal(label == 2, (along / 12) ** 2 + (across / 3) ** 2 <= 1)


def test_higher_z_order_lies_on_top_then_the_later_one(tmp_path):
    shapes = [
        box("sky", 0, 0, 20, 20, z_order=2),
        box("roof", 0, 0, 30, 20),
        box("wall", 10, 0, 40, 20),
        box("roof", 35, 0, 40, 20, z_order=-1),
    ]
    export = read_export(written(tmp_path, document(image(shapes))), "cvat")
    row = painted(export, "a", HEIGHT, WIDTH, IDS)[10]
    np.testing.assert_array_equal(row, np.repeat([3, 2, 0], [20, 20, WIDTH - 40]))


def test_what_has_no_area_or_no_label_is_counted(tmp_path):
    shapes = [
        tag("polyline", label="roof", points="1,2;3,4"),
        tag("polyline", label="roof", points="1,2;3,5"),
        tag("points", label="wall", points="1,2"),
        tag("skeleton", tag("points", label="1", points="4,4"), label="roof"),
        tag("tag", label="sky"),
        tag("polygon", label="", points="1,2;3,4;6,5"),
        box("sky", 1, 1, 3, 3),
    ]
    export = read_export(written(tmp_path, document(image(shapes))), "cvat")
    assert len(export.pictures[0].drawn) == 1 and not export.pictures[0].problem
    text = " ".join(export.remarks)
    for what in ("2 <polyline>", "1 <points>", "1 <skeleton>", "1 <tag>", "without a label"):
        assert what in text


def test_projects_have_subsets_and_names_that_repeat_across_tasks(tmp_path):
    parts = [
        image([box("roof", 0, 0, 5, 5)], "a.png", subset="Train", task_id=1),
        image([box("wall", 0, 0, 5, 5)], "a.png", subset="Validation", task_id=2),
        image([], "sub/b.png", subset="Test", task_id=2),
    ]
    pictures = ("Train/a.png", "Validation/a.png", "Test/sub/b.png")
    text = document("".join(parts), where="project")
    export = read_export(written(tmp_path, text, pictures), "cvat")
    assert [p.split for p in export.pictures] == ["train", "val", "test"]
    assert [p.image for p in export.pictures] == [tmp_path / "images" / p for p in pictures]
    assert len({p.name for p in export.pictures}) == 3
    assert export.pictures[2].drawn == ()


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (tag("polygon", label="roof", points="1,2;3,4"), "2 points"),
        (tag("polygon", label="roof", points="1,2;3,4;5"), "x,y"),
        (tag("polygon", label="roof", points="1,2;3,nan;5,5"), "no number"),
        (tag("polygon", label="roof", points="1,2;3,1e300;5,5"), "no place"),
        (tag("polygon", label="roof"), "0 points"),
        (tag("polygon", label="tower", points="1,2;3,4;9,1"), "'tower'"),
        (box("roof", 500, 500, 600, 600), "outside"),
        (box("roof", 9, 9, 9, 20), "area"),
        (box("roof", "x", 9, 9, 20), "xtl"),
        (box("roof", 0, 0, 9, 20, z_order="high"), "z_order"),
        (tag("box", label="roof", xtl=1), "ytl"),
        (tag("ellipse", label="roof", cx=4, cy=4, rx=0, ry=2), "radii"),
        (tag("mask", label="roof", rle="1, 2", left=0, top=0, width=10, height=3), "3 pixels"),
        (tag("mask", label="roof", rle="1, -2", left=0, top=0, width=1, height=1), "run length"),
        (tag("mask", label="sky", rle="9", left=0, top=0, width=10**6, height=10**6), "1000000"),
        (tag("mask", label="sky", rle="9", left=0, top=0, width="9" * 400, height=2), "width"),
    ],
)
def test_odd_shapes_are_named_by_file_and_line(tmp_path, shape, reason):
    parts = image([box("sky", 0, 0, 3, 3), shape]) + image([box("sky", 1, 1, 9, 9)], "b.png")
    export = read_export(written(tmp_path, document(parts), ("a.png", "b.png")), "cvat")
    message = first_problem(export, HEIGHT, WIDTH)
    assert str(tmp_path / "annotations.xml") in message and "line 7" in message
    assert reason in message
    assert painted(export, "b", HEIGHT, WIDTH, IDS).sum() == 64 * 3


def test_odd_files_are_refused(tmp_path):
    good = document(image([box("sky", 0, 0, 3, 3)]))
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    deep = "<x>" * 5000 + "</x>" * 5000
    for text, words in (
        (good[:-40], ("line", "broken XML")),
        (good.replace("<annotations>", f"{bomb}\n<annotations>"), ("document type",)),
        (good.replace("</image>", f"{deep}</image>"), ("deep",)),
        (document(""), ("without any picture",)),
        (document(image([])).replace("utf-8", "utf-99"), ("annotations.xml",)),
    ):
        written(tmp_path, text)
        with error_naming(PspError, tmp_path, *words):
            CVAT.read(Place(tmp_path), ReadOptions())


def test_a_picture_that_is_annotated_twice_or_has_no_name_is_reported(tmp_path):
    twice = image([box("sky", 0, 0, 3, 3)]) + "\n" + image([box("sky", 0, 0, 3, 3)])
    export = read_export(written(tmp_path, document(twice + image([], ""))), "cvat")
    assert [bool(p.problem) for p in export.pictures] == [False, True, True]
    assert "twice" in export.pictures[1].problem
    size = read_export(written(tmp_path, document(image([], width=-4))), "cvat")
    assert "-4" in first_problem(size)


@pytest.mark.slow
def test_damaged_files_give_one_line(tmp_path):
    rng = np.random.default_rng(5)
    shapes = [
        box("roof", 1.5, 2, 20, 21, rotation=10),
        tag("ellipse", label="wall", cx=40, cy=20.5, rx=12, ry=6),
        tag("mask", label="sky", rle="3, 4, 2, 1, 5, 10, 5", left=4, top=30, width=10, height=3),
        tag("polygon", label="roof", points="20,30;34.00,30.0;34,38;20,38", z_order=1),
    ]
    key = tag("polygon", label="sky", points="1,2;3,4;9,1", frame=0, outside=0, keyframe=1)
    text = document(image(shapes, subset="train", task_id=3) + tag("track", key, id=0, label="sky"))
    odd = ["nan", "1e999", "-1", "", "x", "<", "&", "]]>", "9" * 5000, "\0", "&#0;", "<a/>", '"']
    reported = 0
    for _ in range(160):
        place = int(rng.integers(60, len(text)))
        end = place + int(rng.integers(0, 12))
        damaged = text[:place] + odd[rng.integers(len(odd))] + text[end:]
        written(tmp_path, damaged if rng.integers(8) else text[:place])
        try:
            found = recognize(Place(tmp_path))
            export = CVAT.read(Place(tmp_path), ReadOptions(video=tmp_path / "clip.avi"))
            message = first_problem(export, HEIGHT, WIDTH)
            assert not message or found
        except PspError as error:
            message = str(error)
        if message:
            reported += 1
            assert str(tmp_path) in message and len(message.splitlines()) == 1
            assert len(message) < 600
    assert reported > 50


def clip(path, count):
    """A clip whose frame n is of the gray level 8 n."""
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (WIDTH - 2, HEIGHT - 1)
    )
    for number in range(count):
        writer.write(np.full((HEIGHT - 1, WIDTH - 2, 3), 8 * number, np.uint8))
    writer.release()
    return path


def key(name, frame, outside=0, **attributes):
    return tag(name, frame=frame, outside=outside, keyframe=1, **attributes)


def test_tracks_need_their_clip(tmp_path):
    track = tag("track", key("box", 0, xtl=1, ytl=1, xbr=9, ybr=9), id=0, label="roof")
    folder = written(tmp_path, document(track), ())
    with error_naming(PspError, "annotations.xml", "psp prepare", "--video"):
        CVAT.read(Place(folder), ReadOptions())
    save_picture(folder / "images/frame_000000.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    export = CVAT.read(Place(folder), ReadOptions())
    assert [p.image.name for p in export.pictures] == ["frame_000000.png"]


def test_tracks_move_evenly_between_keyframes_and_end_outside(tmp_path):
    box_keys = [
        key("box", 0, xtl=0, ytl=2, xbr=10, ybr=12),
        key("box", 4, xtl=20, ytl=10, xbr=30, ybr=20),
        key("box", 6, outside=1, xtl=20, ytl=10, xbr=30, ybr=20),
    ]
    polygon_keys = [
        key("polygon", 2, points="40,0;44,0;44,10;40,10", z_order=1),
        key("polygon", 4, points="40,20;44,20;44,30;40,30", z_order=1),
        key("polygon", 6, points="40,20;44,20;44,30", z_order=1),
    ]
    tracks = tag("track", "".join(box_keys), id=0, label="roof")
    tracks += tag("track", "".join(polygon_keys), id=1, label="wall")
    text = document(
        tracks, more="<size>8</size><start_frame>0</start_frame><stop_frame>7</stop_frame>"
    )
    folder = written(tmp_path, text, ())
    path = clip(tmp_path / "clip.avi", 8)
    export = CVAT.read(Place(folder / "annotations.xml"), ReadOptions(video=path))
    assert [p.frame for p in export.pictures] == list(range(8))
    assert {p.image for p in export.pictures} == {path}
    for number in range(8):
        expected = np.zeros((HEIGHT, WIDTH), int)
        if number < 6:
            along = min(number, 4)
            expected[2 + 2 * along : 12 + 2 * along, 5 * along : 10 + 5 * along] = 1
        if 2 <= number < 6:  # between 4 and 6 the number of points differs: it stays
            top = 20 if number >= 4 else 10 * (number - 2)
            expected[top : top + 10, 40:44] = 2
        name = f"frame_{number:06d}"
        label = painted(export, name, HEIGHT, WIDTH, IDS)
        if number < 6:
            np.testing.assert_array_equal(label, expected)
        else:
            assert set(np.unique(label)) == {0, 2}
        pixels = decode_image(read_frame(path, number), "frame")
        assert abs(int(pixels.mean()) - 8 * number) <= 3


def test_frames_are_read_in_any_order_and_a_frame_too_many_is_named(tmp_path):
    path = clip(tmp_path / "clip.avi", 5)
    for number in (3, 1, 4, 4, 0):
        assert abs(int(decode_image(read_frame(path, number), "f").mean()) - 8 * number) <= 3
    with error_naming(PspError, "clip.avi", "5 frames", "7"):
        read_frame(path, 7)
    (tmp_path / "text.mp4").write_text("no video")
    with error_naming(PspError, "text.mp4", "video"):
        read_frame(tmp_path / "text.mp4", 0)


def test_a_frame_filter_leaves_out_the_frames_between(tmp_path):
    keys = key("box", 2, xtl=0, ytl=0, xbr=9, ybr=9)
    more = "<stop_frame>11</stop_frame><frame_filter>step=3</frame_filter>"
    folder = written(tmp_path, document(tag("track", keys, label="roof"), more=more), ())
    export = CVAT.read(Place(folder), ReadOptions(video=folder / "clip.mp4"))
    assert [p.frame for p in export.pictures] == [2, 5, 8, 11]


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="PSP_TEST_DATA is not set")
def test_a_real_export():
    folder = Path(DATA or "") / "labeling/cvat-xml/cvat-datumaro-for_images"
    export = read_export(folder, "cvat")
    assert export.classes == ("label1", "label2")  # skeletons and their points are no classes
    label = painted(export, "img0", 8, 8, {"label1": 1, "label2": 2})
    expected = np.zeros((8, 8), int)
    expected[2:4, :4] = 1
    np.testing.assert_array_equal(label, expected)
    assert picture_named(export, "img1").drawn == ()


def test_frames_of_a_clip_become_pictures_of_a_set(tmp_path, psp):
    keys = key("box", 0, xtl=0, ytl=2, xbr=20, ybr=32) + key(
        "box", 11, xtl=33, ytl=2, xbr=53, ybr=32
    )
    more = "<size>12</size><original_size><width>56</width><height>40</height></original_size>"
    text = document(tag("track", keys, id=0, label="roof"), more=more)
    folder = written(tmp_path / "task", text, ())
    path = clip(tmp_path / "clip.avi", 12)
    psp("prepare", folder / "annotations.xml", "--video", path, "-o", tmp_path / "out", check=0)
    levels = []
    for name in ("train", "val"):
        split = ShardSplit(tmp_path / "out", name)
        for index in range(len(split)):
            levels.append(round(float(split.image(index).mean()) / 8))
            left = 3 * levels[-1]  # the box moves 3 pixels a frame
            assert (split.label(index)[2:32, left : left + 20] == 1).all()
    assert sorted(levels) == list(range(12))

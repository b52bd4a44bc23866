"""Files that name classes: every way in which programs write them, and lines that are odd."""

import numpy as np
import pytest
from helpers.errors import error_naming

from psp.annotations.class_names import find_names, read_names
from psp.errors import PspError


def read(tmp_path, text, name="classes.txt", encoding="utf-8"):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return read_names(tmp_path / name)


TWO = ("road", "tree")
COLORS = {0x10203: "road", 0x40506: "tree"}


@pytest.mark.parametrize(
    ("text", "names", "values", "colors"),
    [
        ("road\nparking lot\n\n", ("road", "parking lot"), {}, {}),
        ("0 road\n7 bus stop", ("road", "bus stop"), {0: "road", 7: "bus stop"}, {}),
        ("3: road\n1: tree", TWO, {3: "road", 1: "tree"}, {}),
        ("id;name\r\n0;road\r\n1;tree\r\n", TWO, {0: "road", 1: "tree"}, {}),
        ("name,r,g,b\nroad,1,2,3\ntree,4,5,6", TWO, {}, COLORS),
        ("r,g,b,name\n1,2.0,3,road\n4,5,6,tree", TWO, {}, COLORS),
        ("1 2 3\troad\n4 5 6\t\ttree", TWO, {}, COLORS),
        ("# label:color_rgb:parts:actions\nroad:1,2,3::\ntree:4,5,6::", TWO, {}, COLORS),
        ("0,road,#010203\n1,tree,#040506", TWO, {0: "road", 1: "tree"}, COLORS),
        ("class 1\nclass 2", ("class 1", "class 2"), {}, {}),
    ],
)
def test_lines_in_all_their_shapes(tmp_path, text, names, values, colors):
    found = read(tmp_path, text)
    assert (found.lines, found.values, found.colors) == (names, values, colors)
    again = read(tmp_path, text, encoding="utf-16")
    assert again == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("names no class",)),
        ("name,r,g,b\n", ("names no class",)),
        ("a,1,2,3\nb,4,5,six\nc,7,8,9", ("line 2", "b,4,5,six")),
        ("a,1,2,3\nb,4,5,600", ("line 2", "600")),
        ("a,1,2,3\nb,1,2,3", ("line 2", "'a'", "'b'", "same color")),
        ("0 a\n0 b", ("line 2", "value 0", "twice")),
        ("a\nb\na", ("'a'", "twice")),
    ],
)
def test_odd_lines_are_named(tmp_path, text, words):
    with error_naming(PspError, "classes.txt", *words):
        read(tmp_path, text)


def test_a_list_of_pictures_names_no_classes(tmp_path):
    assert (
        read(tmp_path, "images/1.jpg masks/1.png\nimages/2.jpg masks/2.png", "labels.txt") is None
    )


def test_values_of_one_file_and_colors_of_another_complete_each_other(tmp_path):
    (tmp_path / "classes.txt").write_text("0 road\n1 tree")
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nroad,1,2,3\ntree,4,5,6")
    names = find_names([tmp_path])
    assert names.by_value() == {0: "road", 1: "tree"} and names.colors[0x40506] == "tree"
    (tmp_path / "notes.json").write_text('{"version": 3, "count": 4}')  # about something else
    (tmp_path / "broken.json").write_text("{")
    assert find_names([tmp_path]) == names


@pytest.mark.slow
def test_any_text_gives_names_or_one_line(tmp_path):
    rng = np.random.default_rng(2)
    parts = ["0", "1", "road", "tree", "255", "\t", ",", ";", ":", "\n", " ", "#ff0000", "-1", '"']
    parts += ["\0", "ü", "::", "9" * 30, "0.0", "1e5", "name,r,g,b\n", "__ignore__\n", "²"]
    failed = 0
    for _ in range(500):
        text = "".join(parts[i] for i in rng.integers(0, len(parts), rng.integers(1, 30)))
        try:
            read(tmp_path, text)
        except PspError as error:
            failed += 1
            assert "classes.txt" in str(error) and len(str(error).splitlines()) == 1
    assert 10 < failed < 400

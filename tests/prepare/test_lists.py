"""Lists are tables: read as what they are, or refused naming the list and the line."""

import unicodedata
from pathlib import Path

import pytest

from psp.errors import PspError
from psp.prepare.layouts.lists import read_ids, read_list
from psp.prepare.layouts.matching import match, nearest_files

NAMES = [("a/p 1", "m/p4"), ("a/p2", "m/p5")]


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "train.txt"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "lines",
    [
        ["a/p 1.png,m/p4.png", "a/p2.png,m/p5.png"],
        ["a/p 1.png;m/p4.png", "a/p2.png;m/p5.png"],
        ["a/p 1.png\tm/p4.png", "a/p2.png\tm/p5.png"],
        ['"a/p 1.png","m/p4.png"', '"a/p2.png","m/p5.png"'],
        ["image,mask", "a/p 1.png,m/p4.png", "a/p2.png,m/p5.png"],
        ["mask,id,image", "m/p4.png,7,a/p 1.png", "m/p5.png,8,a/p2.png"],
        ["# of the spring", "a/p 1.png , m/p4.png", "", "a/p2.png,m/p5.png"],
        ["a\\p 1.png,m\\p4.png", "a\\p2.png,m\\p5.png"],
    ],
)
def test_pictures_and_masks_of_any_table_are_read(tmp_path, lines, end, encoding):
    entries = read_list(written(tmp_path, end.join(lines) + end, encoding))
    assert [(entry.name, entry.mask) for entry in entries] == NAMES


def test_columns_of_blanks_are_pictures_or_numbers_and_else_one_name(tmp_path):
    pairs = read_list(written(tmp_path, "/J/a.jpg /L/a.png\n/J/b.jpg   /L/b.png\n"))
    assert [(entry.name, entry.mask) for entry in pairs] == [("/J/a", "/L/a"), ("/J/b", "/L/b")]
    numbers = read_list(written(tmp_path, "# name class\na 1 -1\nb 2 1\n#3.png\n"))
    assert [(entry.name, entry.mask) for entry in numbers] == [
        ("a", None),
        ("b", None),
        ("#3", None),
    ]
    spaces = read_list(written(tmp_path, "my photo\nyour photo.jpg\n"))
    assert [entry.name for entry in spaces] == ["my photo", "your photo"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.png,north\nb.png,south\n", ("line 1", "north")),
        ("image,mask\n,m.png\n", ("line 2", "column 1")),
        ("a\nb\na.png\n", ("'a'", "1", "3")),
        ("../a.png\n", ("line 1", "../a.png")),
        ("a\nb\0\n", ("line 2",)),
        ("\n# nothing\n", ("empty",)),
    ],
)
def test_what_is_not_understood_is_named(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(PspError) as error:
        read_list(path)
    assert all(word in str(error.value) for word in (path.name, *words)), error.value


def test_another_encoding_is_named_with_its_line(tmp_path):
    path = written(tmp_path, "abc\ncaf\xe9\n", "latin-1")
    with pytest.raises(PspError) as error:
        read_list(path)
    assert "train.txt" in str(error.value) and "line 2" in str(error.value)
    assert "UTF-8" in str(error.value)


def test_ids_may_lie_in_folders_and_have_one_name_with_their_mask(tmp_path):
    there = {"north/my photo", "b"}
    path = written(tmp_path, "x/north/my photo\nJPEGImages/b.jpg\nlists/c\n")
    assert read_ids(path, there.__contains__) == ["north/my photo", "b", "c"]
    for text in ("my photo\n", "a.jpg,other.png\n"):
        with pytest.raises(PspError, match=r"train\.txt.*line 1.*folders"):
            read_ids(written(tmp_path, text))


NFC, NFD = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        (["a", "b"], ["a", "b"]),
        ([NFC, "b"], [NFD, "b"]),
        (["P0", "P1"], ["p0", "p1"]),
        (["a", "b"], ["a_mask", "b_mask"]),
        (["x/a", "x/b"], ["x/a-label", "x/b-label"]),
        (["a", "b"], ["a.jpg", "b.jpg"]),  # a.jpg.png
        (["A", "B"], ["mask_a", "mask_b"]),
    ],
)
def test_one_way_that_fits_all_is_taken_and_said(pictures, masks):
    files = {name: Path(f"photos/{name}.jpg") for name in pictures}
    labels = {name: Path(f"masks/{name}.png") for name in masks}
    pairs, remarks = match(files, labels)
    assert pairs == {
        name: (files[name], labels[mask]) for name, mask in zip(pictures, masks, strict=True)
    }
    assert bool(remarks) == (pictures != masks)


def test_a_way_that_fits_some_is_a_guess_and_two_masks_are_named():
    files = {name: Path(f"{name}.jpg") for name in ("a", "b")}
    pairs, remarks = match(files, {"a_mask": Path("a_mask.png"), "c_mask": Path("c_mask.png")})
    assert not remarks and pairs["a"] == (Path("a.jpg"), None)
    assert pairs["a_mask"] == (None, Path("a_mask.png"))
    two = {"A": Path("A.png"), "\u0041\u0301": Path("x.png"), "a": Path("a.png")}
    assert match(files, two)[0]["a"] == (Path("a.jpg"), Path("a.png"))
    with pytest.raises(PspError, match=r"a\.jpg.*a_gt\.png.*a_mask\.png"):
        match({"a": Path("a.jpg")}, {n: Path(f"{n}.png") for n in ("a_mask", "a_gt")})


def test_a_missing_file_names_the_nearest():
    assert "p01.png" in nearest_files(Path("masks/p1.png"), [Path("masks/p01.png"), Path("x.txt")])
    assert nearest_files(Path("masks/p1.png"), []) == ""

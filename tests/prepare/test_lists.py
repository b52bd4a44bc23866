"""Lists of ids, and which mask belongs to which picture."""

import unicodedata
from pathlib import Path

import pytest

from psp.annotations.matching import match, nearest_files
from psp.errors import PspError
from psp.prepare.layouts.lists import read_ids


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "train.txt"
    path.write_bytes(text.encode(encoding))
    return path


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
        (["a", "b"], ["a_L", "b_L"]),
        (["img1", "img2"], ["label1", "label2"]),
        (["image_001", "image_002"], ["mask_001", "mask_002"]),
        (["1_sat", "2_sat"], ["1_mask", "2_mask"]),
        (
            ["c/f_1_leftImg8bit", "c/f_2_leftImg8bit"],
            ["c/f_1_gtFine_labelIds", "c/f_2_gtFine_labelIds"],
        ),
        (["scan-1", "scan-2"], ["seged1v2", "seged2v2"]),
        (["1", "2", "10"], ["0001", "0002", "0010"]),
        (["x/a", "y/b"], ["a", "b"]),
        (["x/a", "y/b"], ["a_mask", "b_mask"]),
    ],
)
def test_one_way_that_fits_all_is_taken_and_said(pictures, masks):
    files = {name: Path(f"photos/{name}.jpg") for name in pictures}
    labels = {name: Path(f"masks/{name}.png") for name in masks}
    pairs, remarks = match(files, labels)
    expected = dict(zip(pictures, masks, strict=True))
    assert pairs == {name: (files[name], labels[mask]) for name, mask in expected.items()}
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


def test_other_files_of_a_picture_are_left_out_with_a_word_but_no_second_mask():
    files = {name: Path(f"{name}.jpg") for name in ("a", "b")}
    names = ("a_mask", "b_mask", "a_mask_color")
    pairs, remarks = match(files, {name: Path(f"m/{name}.png") for name in names})
    assert set(pairs) == {"a", "b"} and "1 more" in remarks[1] and "a_mask_color" in remarks[1]
    names = ("a_mask", "b_mask", "a_mask_1")  # two masks of one picture: not to be ignored
    pairs, _ = match(files, {name: Path(f"m/{name}.png") for name in names})
    assert pairs["a_mask_1"] == (None, Path("m/a_mask_1.png"))


def test_a_missing_file_names_the_nearest():
    assert "p01.png" in nearest_files(Path("masks/p1.png"), [Path("masks/p01.png"), Path("x.txt")])
    assert nearest_files(Path("masks/p1.png"), []) == ""

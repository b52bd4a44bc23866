"""Lists are tables: read as what they are, or refused naming the list, the line and the cell."""

import time

import pytest

from psp.errors import PspError
from psp.lists.read import read_list

NAMES = [("a/p 1", "m/p4"), ("a/p2", "m/p5")]


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "train.txt"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
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
        ["a/p 1.png|m/p4.png", "a/p2.png|m/p5.png"],
        ["a/p 1.png m/p4.png", "./a/p2.png   m/p5.png"],
        ["a/p 1.png,m/p4.png,", "a/p2.png,m/p5.png,"],
        ["0,a/p 1.png,m/p4.png", "1,a/p2.png,m/p5.png"],
        [",img_path,seg_path", "0,a/p 1.png,m/p4.png", "1,a/p2.png,m/p5.png"],
        ["Image File;Ground Truth", "a/p 1.png;m/p4.png", "a/p2.png;m/p5.png"],
        ["x,y", "a/p 1.png,m/p4.png", "a/p2.png,m/p5.png"],
        ["m/p4.png,a/p 1.jpg", "m/p5.png,a/p2.jpg"],
        ["sep=;", "image;mask", "a/p 1.png;m/p4.png", "a/p2.png;m/p5.png"],
        ["'a/p 1.png','m/p4.png'", "'a/p2.png','m/p5.png'"],
        ["image,mask,note", 'a/p 1.png,m/p4.png,"two', 'lines, ""a"""', "a/p2.png,m/p5.png,"],
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
        ("image,mask\n", ("empty", "names the columns")),
        ("a.jpg,m.png\nb.jpg,n.png,7\n", ("line 2", "3 columns", "'7'")),
        ("a.jpg,m.png,0.5\nb.jpg,n.png\n", ("line 2", "2 columns")),
        ("image,mask\na.jpg,m.png\nb.jpg,\n", ("line 3", "no mask", "'b.jpg'")),
        ("a.jpg,b.jpg,m.png\nc.jpg,d.jpg,n.png", ("line 1", "m.png")),
        ("image,mask,label\na.jpg,m.png,n.png", ("'mask'", "'label'")),
        ('"a.jpg,m.png\nb.jpg,n.png', ("line 1", "quotation")),
        ('["a.jpg", "b.jpg"]', ("JSON",)),
        ("PK\x03\x04", ("XLSX",)),
        ("version https://git-lfs.github.com/spec/v1\n", ("LFS",)),
        ("<!DOCTYPE html><p>", ("web page",)),
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


TABLE = "image,mask,weight,split\na.jpg,m.png,1,train\nb.jpg,n.png,2,valid\nc.jpg,o.png,1,Train\n"


@pytest.mark.parametrize("text", [TABLE, TABLE.partition("\n")[2]])
def test_a_column_of_splits_chooses_the_lines_and_others_are_said(tmp_path, text):
    path, remarks = written(tmp_path, text), []
    assert [e.name for e in read_list(path, split="train", remarks=remarks)] == ["a", "c"]
    assert [e.name for e in read_list(path, split="val")] == ["b"]
    assert len(remarks) == 1 and "not used" in remarks[0] and str(path) in remarks[0]
    assert ("'weight'" if text == TABLE else "column 3") in remarks[0]
    with pytest.raises(PspError, match=r"train\.txt.*'test'.*'train'.*'valid'"):
        read_list(path, split="test")


def test_a_name_that_is_there_is_one_name_whatever_signs_are_in_it(tmp_path):
    names = ["Smith, Ann", "a;b c", "image", "one 1", "x,y.v2"]
    path = written(tmp_path, "\n".join(names) + "\n")
    assert [e.name for e in read_list(path, exists=set(names).__contains__)] == names
    path = written(tmp_path, "Smith, Ann.jpg\nMeyer, Bo.jpg\n")
    assert [e.name for e in read_list(path)] == ["Smith, Ann", "Meyer, Bo"]


def test_a_missing_list_names_the_nearest(tmp_path):
    (tmp_path / "trian.txt").touch()
    with pytest.raises(PspError, match=r"train\.txt.*missing.*trian\.txt"):
        read_list(tmp_path / "train.txt")


@pytest.mark.slow
@pytest.mark.parametrize("line", ["photo {}.jpg", 'p{}.jpg,m{}.png,"a', '"p{0}.jpg","m{0}.png",7'])
def test_long_lists_take_linear_time(tmp_path, line):
    path = written(tmp_path, "\n".join(line.format(k, k) for k in range(30_000)))
    start = time.process_time()
    try:
        read_list(path)
    except PspError as error:
        assert "quotation" in str(error)
    assert time.process_time() - start < 5

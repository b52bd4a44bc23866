"""Which pictures are meant, and that no two results ever have the same name."""

import os
from pathlib import Path

import pytest
from PIL import Image

from psp.errors import PspError
from psp.images.kinds import LeftOut
from psp.predict.inputs import default_out, find_pictures, read_list


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2)).save(path)


def names(folder, *inputs):
    return set(find_pictures([folder / name for name in inputs]))


def test_names_are_unique_whatever_the_suffixes(tmp_path):
    for name in ("a.jpg", "a.png", "a.jpg.bmp", "b.jpg", "c/b.jpg"):
        save(tmp_path / name)
    found = find_pictures([tmp_path])
    assert set(found) == {"a.jpg", "a.png", "a.jpg.bmp", "b", "c/b"}
    beside = find_pictures([tmp_path / "c/../a.jpg", tmp_path / "c/b.jpg"])
    assert set(beside) == {"a", "c/b"}  # no name leads out of the output
    assert names(tmp_path, "b.jpg", "c/b.jpg") == {"b", "c/b"}
    with pytest.raises(PspError) as error:
        find_pictures([tmp_path / "zzz"])
    assert str(error.value).startswith(f"{tmp_path / 'zzz'}: ")


def test_two_folders_and_a_file_in_one_of_them(tmp_path):
    for name in ("x/a.jpg", "y/a.jpg", "y/z/a.jpg"):
        save(tmp_path / name)
    assert names(tmp_path, "x", "y") == {"x/a", "y/a", "y/z/a"}
    assert names(tmp_path, "y", "y/a.jpg") == {"a", "z/a"}  # each once


def test_what_is_hidden_is_left_alone(tmp_path):
    for name in ("a.jpg", "._a.jpg", ".thumbnails/a.jpg"):
        save(tmp_path / name)
    assert set(find_pictures([tmp_path])) == {"a"}


def test_links_are_followed_but_not_in_circles(tmp_path):
    save(tmp_path / "photos/a.jpg")
    save(tmp_path / "elsewhere/b.jpg")
    (tmp_path / "photos/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/back").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    assert set(find_pictures([tmp_path / "photos"])) == {"a", "more/b", "gone"}
    os.mkfifo(tmp_path / "photos/pipe.jpg")  # whose reading would never end
    assert set(find_pictures([tmp_path / "photos"])) == {"a", "more/b", "gone"}


def test_photos_of_unread_kinds_are_counted_unless_a_readable_one_is_beside(tmp_path):
    for name in ("a.jpg", "c/b.jpg"):
        save(tmp_path / name)
    for name in ("a.CR2", "d.nef", "c/e.JXL", "c/f.jxl", ".g.jxl", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    left_out = LeftOut()
    assert set(find_pictures([tmp_path], left_out=left_out)) == {"a", "c/b"}
    assert left_out.pictures == {".nef": 1, ".jxl": 2}
    (tmp_path / "c/b.jpg").unlink()
    with pytest.raises(PspError, match=r"c: .*2 \.jxl .*convert"):
        find_pictures([tmp_path / "c"])


def test_patterns(tmp_path, monkeypatch):
    for name in ("a.jpg", "b.png", "c/d.jpg", "c/e/f.jpg", "[x]/g.jpg"):
        save(tmp_path / name)
    assert names(tmp_path, "*.jpg") == {"a"}
    assert names(tmp_path, "**/*.jpg") == {"a", "c/d", "c/e/f", "[x]/g"}
    assert names(tmp_path, "c*") == {"d", "e/f"}
    assert names(tmp_path, "[x]") == {"g"}  # a folder that is there is no pattern
    monkeypatch.chdir(tmp_path)
    assert set(find_pictures([Path("*.png")])) == {"b"}


def test_what_psp_wrote_is_no_input(tmp_path):
    save(tmp_path / "a.jpg")
    for old in ("legend.png", "labels/a.png", "overlays/a.jpg"):
        save(tmp_path / "old" / old)
    save(tmp_path / "new/labels/a.png")
    (tmp_path / "new/settings.json").write_text('{"format": "psp-predictions"}')
    save(tmp_path / "mine/labels/a.png")  # a data set of the user's own
    save(tmp_path / "mine/legend.png")
    (tmp_path / "mine/settings.json").write_text("[1]")
    found = {"a", "mine/labels/a", "mine/legend"}
    assert set(find_pictures([tmp_path])) == found
    assert names(tmp_path, "**/*.png") == {"labels/a", "legend"}


def test_lists(tmp_path):
    assert read_list(b"a b.jpg\r\n\n/x/\xc3\xa9.png") == [Path("a b.jpg"), Path("/x/\u00e9.png")]
    assert read_list(b"a\nb.jpg\0c.jpg\0") == [Path("a\nb.jpg"), Path("c.jpg")]


def test_tables_on_standard_input_are_read_as_such(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remarks = []
    table = "image,mask,split\na.jpg,m/a.png,train\nb c.jpg,m/b.png,val\n"
    for data in (table.encode(), table.replace(",", ";").encode("utf-16")):
        assert read_list(data, remarks) == [Path("a.jpg"), Path("b c.jpg")]
    assert len(remarks) == 2 and "'mask'" in remarks[0] and "'split'" in remarks[0]
    (tmp_path / "x, y.jpg").touch()
    (tmp_path / "d").mkdir()
    (tmp_path / "d/e.jpg").touch()
    assert read_list(b"x, y.jpg\nd\\e.jpg\n") == [Path("x, y.jpg"), Path("d/e.jpg")]
    assert read_list(b"\xff.jpg\n") == [Path(os.fsdecode(b"\xff.jpg"))]  # a name in no encoding
    with pytest.raises(PspError, match=r"-: line 1.*'north'"):
        read_list(b"a.jpg,north\nb.jpg,south\n")
    (tmp_path / "photos.csv").touch()
    with pytest.raises(PspError, match=r"photos\.csv.*psp predict - <"):
        find_pictures([tmp_path / "photos.csv"])
    save(tmp_path / "x/a.jpg")
    listed = [tmp_path / "x", tmp_path / "y/gone.jpg"]
    assert set(find_pictures([], listed)) == {"x/a", "y/gone"}


def test_default_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    save(tmp_path / "x.jpg")
    assert default_out([Path("photos")]) == Path("photos-predicted")
    assert default_out([Path("x.jpg")]) == Path("x-predicted")
    assert default_out([Path("x.jpg"), Path("photos")]) == Path("predicted")
    assert default_out([Path("*.jpg")]) == Path("predicted")
    assert default_out([]) == Path("predicted")
    monkeypatch.chdir(tmp_path / "photos")
    assert default_out([Path()]) == tmp_path / "photos-predicted"


def test_links_in_circles_and_endless_files_stop_nothing(tmp_path):
    from psp.errors import PspError
    from psp.files import read_bytes

    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/good.jpg").write_bytes(b"picture")
    (tmp_path / "photos/round.jpg").symlink_to("round.jpg")
    (tmp_path / "photos/loop").symlink_to("loop")
    (tmp_path / "photos/endless.jpg").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "photos/pipe.jpg")
    found = find_pictures([tmp_path / "photos"])
    assert {"good", "round", "endless"} == set(found)
    assert read_bytes(found["good"]) == b"picture"
    for name in ("round", "endless"):
        with pytest.raises(PspError, match=name):
            read_bytes(found[name])

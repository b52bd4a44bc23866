"""Zips of strangers: nothing outside of the folder, no links, no more than the disk holds."""

import shutil
import stat
import zipfile

import pytest

from psp.errors import PspError
from psp.prepare.own.unpack import unpack


def make(path, *entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in entries:
            archive.writestr(entry, data)
    return path


def test_files_come_out_with_their_bytes_and_times(tmp_path):
    entry = zipfile.ZipInfo("a/b/c.txt", (2024, 5, 6, 7, 8, 10))
    archive = make(tmp_path / "a.zip", (entry, b"one"), ("a\\d.txt", b"two"))
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/a/b/c.txt").read_bytes() == b"one"
    assert (tmp_path / "out/a/d.txt").read_bytes() == b"two"
    first = (tmp_path / "out/a/b/c.txt").stat().st_mtime
    unpack(archive, tmp_path / "again")
    assert (tmp_path / "again/a/b/c.txt").stat().st_mtime == first


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "C:/x", "..\\x"])
def test_nothing_leaves_the_folder(tmp_path, name):
    archive = make(tmp_path / "a.zip", ("fine.txt", b""), (name, b"bad"))
    with pytest.raises(PspError, match=r"a\.zip"):
        unpack(archive, tmp_path / "out")
    assert {path.name for path in tmp_path.rglob("*")} == {"a.zip"}


def test_links_are_refused(tmp_path):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(PspError, match="link"):
        unpack(make(tmp_path / "a.zip", (entry, b"/etc/passwd")), tmp_path / "out")


def test_more_than_the_disk_holds_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    archive = make(tmp_path / "a.zip", ("big", bytes(1 << 20)))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2, 1, 1 << 19))
    with pytest.raises(PspError, match=r"a\.zip.*free"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"<html>", bytes(100)])
def test_what_is_no_zip_is_called_that(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(PspError, match=r"a\.zip.*zip file"):
        unpack(path, tmp_path / "out")

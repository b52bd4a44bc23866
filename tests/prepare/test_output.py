"""The output folder: never replaced by mistake, and a run that was stopped continues."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import save_picture

from psp.data.cardfile import find_card
from psp.data.shards import ShardSplit
from psp.data.staging import Sample, stage
from psp.errors import PspError
from psp.prepare import writing
from psp.prepare.output import OccupiedError
from psp.prepare.pipeline import prepare

CAMVID = find_card("camvid")


def test_the_same_input_again_is_nothing_to_do_and_other_input_is_refused(camvid_raw, tmp_path):
    events = []
    first = prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    again = prepare(
        CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True, report=events.append
    )
    assert again == first
    (said,) = events
    assert str(tmp_path / "out") in said.text and "--overwrite" in said.text
    (camvid_raw / "train/0001TP_train000.png").unlink()
    (camvid_raw / "trainannot/0001TP_train000.png").unlink()
    with error_naming(OccupiedError, tmp_path / "out", "other input", "--overwrite"):
        prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    assert len(ShardSplit(tmp_path / "out", "train")) == 6
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True, overwrite=True)
    assert len(ShardSplit(tmp_path / "out", "train")) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["CamVid", "out"]


def test_a_folder_with_other_files_is_never_changed(camvid_raw, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with error_naming(OccupiedError, out, "-o"):
        prepare(CAMVID, camvid_raw, out, allow_incomplete=True)
    with error_naming(OccupiedError, out, "other files", "-o"):
        prepare(CAMVID, camvid_raw, out, allow_incomplete=True, overwrite=True)
    for over in (camvid_raw, tmp_path):
        with error_naming(PspError, over, "raw data", "-o"):
            prepare(CAMVID, camvid_raw, over, allow_incomplete=True, overwrite=True)
    assert (camvid_raw / "train/0001TP_train000.png").exists()
    partial = tmp_path / "other.partial"
    partial.mkdir()
    (partial / "thesis.txt").write_text("precious")
    with error_naming(PspError, partial, "-o"):
        prepare(CAMVID, camvid_raw, tmp_path / "other", allow_incomplete=True)
    assert (out / "thesis.txt").read_text() == (partial / "thesis.txt").read_text() == "precious"


@pytest.mark.slow
def test_a_killed_run_continues_and_ends_with_the_same_bytes(camvid_raw, tmp_path, monkeypatch):
    options = {"allow_incomplete": True, "shard_mb": 1e-6}  # a shard a picture
    prepare(CAMVID, camvid_raw, tmp_path / "whole", **options)
    written = []
    real = writing.write_shard

    def dies(path, *rest, **how):
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(path.name)
        return real(path, *rest, **how)

    monkeypatch.setattr(writing, "write_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare(CAMVID, camvid_raw, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(
        writing,
        "write_shard",
        lambda path, *rest, **how: written.append(path.name) or real(path, *rest, **how),
    )
    prepare(CAMVID, camvid_raw, tmp_path / "out", **options)
    assert len(written) == len(set(written)) == 11  # none was written twice
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
    assert not (tmp_path / "out.partial").exists()


def test_staging_files_of_a_failed_or_killed_run_are_removed(camvid_raw, tmp_path, monkeypatch):
    def dies(*rest, **how):
        raise KeyboardInterrupt

    partial, torn = tmp_path / "out.partial", "train-00000.4711.tmp"
    partial.mkdir()
    (partial / "plan.json").write_text("{}")
    (partial / torn).write_text("of a killed run")
    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_shard", dies)
        with pytest.raises(KeyboardInterrupt):
            prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    assert not partial.exists()  # no shard was finished: nothing of use is left
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_a_staging_file_that_cannot_be_written_is_an_error(tmp_path):
    sample = Sample("a", b"image", b"label", (1, 1), np.zeros(3, np.int64))
    with error_naming(PspError, tmp_path / "gone/train-00000", "No such file"):
        stage(tmp_path / "gone", "train-00000", sample)


@pytest.mark.slow
def test_changed_files_are_not_mixed_with_old_shards(camvid_raw, tmp_path, monkeypatch):
    options = {"allow_incomplete": True, "shard_mb": 1e-6}
    real = writing.write_shard
    calls = []

    def dies(path, *rest, **how):
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(path, *rest, **how)

    monkeypatch.setattr(writing, "write_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare(CAMVID, camvid_raw, tmp_path / "out", **options)
    save_picture(camvid_raw / "trainannot/0001TP_train000.png", np.full((48, 64), 3, np.uint8))
    monkeypatch.setattr(writing, "write_shard", real)
    prepare(CAMVID, camvid_raw, tmp_path / "out", **options)
    assert (ShardSplit(tmp_path / "out", "train").label(0) == 3).all()


def test_hdf5_files_of_others_are_never_overwritten(camvid_raw, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "measurements.h5").write_text("precious")
    with error_naming(OccupiedError, out, "other files", "-o"):
        prepare(CAMVID, camvid_raw, out, allow_incomplete=True, overwrite=True)
    assert (out / "measurements.h5").read_text() == "precious"


def test_a_link_is_followed_and_kept(camvid_raw, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    for _ in range(2):
        prepare(CAMVID, camvid_raw, tmp_path / "link", allow_incomplete=True, overwrite=True)
        assert (tmp_path / "link").is_symlink()
        assert len(ShardSplit(tmp_path / "link", "val")) == 3


def test_the_current_folder_is_not_replaced(camvid_raw, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with error_naming(PspError, "current folder", "-o"):
        prepare(CAMVID, camvid_raw, Path(), allow_incomplete=True)


def test_too_small_a_disk_is_said_before_anything_is_written(camvid_raw, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with error_naming(PspError, tmp_path / "out", "0 MB are free", "-o"):
        prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    assert [p.name for p in tmp_path.iterdir()] == ["CamVid"]


def test_a_lost_shard_is_not_nothing_to_do(camvid_raw, tmp_path):
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    (tmp_path / "out/val-00000.h5").unlink()
    with error_naming(OccupiedError, tmp_path / "out/val-00000.h5", "missing", "--overwrite"):
        prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True, overwrite=True)
    assert len(ShardSplit(tmp_path / "out", "val")) == 3


def test_an_edit_of_the_same_size_is_not_nothing_to_do(camvid_raw, tmp_path):
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    path = camvid_raw / "val/0001TP_val000.png"
    later = path.stat().st_mtime_ns + 10**10
    os.utime(path, ns=(later, later))
    with error_naming(OccupiedError, tmp_path / "out", "changed", "--overwrite"):
        prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)


def test_an_overwrite_that_was_killed_can_be_repeated(camvid_raw, tmp_path, monkeypatch):
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)

    unlink = Path.unlink

    def killed(path, **options):
        if path.suffix == ".h5" and path.parent.name == "out" and path.name.startswith("val"):
            raise KeyboardInterrupt
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True, overwrite=True)
    monkeypatch.undo()
    with error_naming(OccupiedError, tmp_path / "out", "-o"):
        prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True, overwrite=True)
    assert len(ShardSplit(tmp_path / "out", "val")) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["CamVid", "out"]

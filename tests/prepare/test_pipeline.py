"""Prepare: labels equal an independent decode, and nothing wrong gets into a shard."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import save_picture, save_voc_mask
from PIL import Image

from psp.data.card import SplitEntry
from psp.data.cardfile import find_card
from psp.data.shards import ShardSplit
from psp.data.staging import Sample, stage
from psp.errors import PspError
from psp.prepare import pipeline
from psp.prepare.output import OccupiedError
from psp.prepare.pipeline import Planned, prepare

CAMVID = find_card("camvid")
VOC = find_card("voc2012")


def test_camvid_labels_equal_an_independent_decode(camvid_raw, tmp_path):
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    for name in ("train", "val", "test"):
        split = ShardSplit(tmp_path / "out", name)
        for index, stem in enumerate(split.names):
            raw = np.array(Image.open(camvid_raw / f"{name}annot" / f"{stem}.png"))
            expected = np.where(raw == 11, 255, raw)
            assert np.array_equal(split.label(index), expected)
            counts = [(expected == value).sum() for value in [*range(11), 255]]
            assert split.pixels[index].tolist() == counts


def test_voc_ids_and_void_survive(voc_raw, tmp_path):
    prepare(VOC, voc_raw, tmp_path / "out", allow_incomplete=True)
    split = ShardSplit(tmp_path / "out", "train")
    assert len(split) == 5
    for index, name in enumerate(split.names):
        path = voc_raw / f"VOC2012/SegmentationClass/{name}.png"
        assert np.array_equal(split.label(index), np.array(Image.open(path)))
        assert split.pixels[index, 21] == (split.label(index) == 255).sum() > 0


@pytest.mark.parametrize("below", ["", "VOC2012"])
def test_the_download_is_found_from_inside_and_above(voc_raw, tmp_path, below):
    manifest = prepare(VOC, voc_raw / below, tmp_path / "out", allow_incomplete=True)
    assert {k: v["images"] for k, v in manifest["splits"].items()} == {"train": 5, "val": 3}


def test_the_counts_of_the_card_must_be_met(camvid_raw, tmp_path):
    with error_naming(PspError, camvid_raw, "split 'train'", "6 of the 367", "--allow-incomplete"):
        prepare(CAMVID, camvid_raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_incomplete_is_said_when_allowed(camvid_raw, tmp_path):
    shutil.rmtree(camvid_raw / "test")
    shutil.rmtree(camvid_raw / "testannot")
    (camvid_raw / "train" / "0001TP_train000.png").unlink()
    planned = []
    prepare(
        CAMVID,
        camvid_raw,
        tmp_path / "out",
        allow_incomplete=True,
        report=lambda event: planned.append(event) if isinstance(event, Planned) else None,
    )
    assert planned[0].images == {"train": 5, "val": 3}
    for split, count in (("'train'", "5 of the 367"), ("'test'", "0 of the 233")):
        assert any(split in remark and count in remark for remark in planned[0].remarks)


def test_a_missing_file_is_named(voc_raw, tmp_path):
    lost = voc_raw / "VOC2012/SegmentationClass/2007_116002.png"
    lost.unlink()
    with error_naming(PspError, lost, "split 'train'", "--allow-incomplete"):
        prepare(VOC, voc_raw, tmp_path / "out")


def bad_size(root):
    save_picture(root / "val/0001TP_val001.png", np.zeros((48, 66, 3), np.uint8))
    return ["valannot/0001TP_val001.png", "64x48", "66x48"]


def bad_value(root):
    save_picture(root / "valannot/0001TP_val001.png", np.full((48, 64), 12, np.uint8))
    return ["valannot/0001TP_val001.png", "12", "card camvid"]


def truncated_image(root):
    path = root / "val/0001TP_val001.png"
    path.write_bytes(path.read_bytes()[:200])
    return ["val/0001TP_val001.png", "broken"]


def truncated_label(root):
    path = root / "valannot/0001TP_val001.png"
    path.write_bytes(path.read_bytes()[:-20])
    return ["valannot/0001TP_val001.png", "broken"]


def lossy_label(root):
    path = root / "valannot/0001TP_val001.png"
    Image.open(path).save(path, "JPEG")
    return ["valannot/0001TP_val001.png", "PNG", "JPEG is lossy"]


def empty_file(root):
    (root / "val/0001TP_val001.png").write_bytes(b"")
    return ["val/0001TP_val001.png", "empty"]


def web_page(root):
    (root / "val/0001TP_val001.png").write_bytes(b"<html>not found</html>")
    return ["val/0001TP_val001.png", "not a picture"]


def colored_label(root):
    save_picture(root / "valannot/0001TP_val001.png", np.zeros((48, 64, 3), np.uint8))
    return ["valannot/0001TP_val001.png", "palette or gray PNG", "official files"]


@pytest.mark.parametrize(
    "spoil",
    [
        bad_size,
        bad_value,
        lossy_label,
        truncated_image,
        truncated_label,
        empty_file,
        web_page,
        colored_label,
    ],
)
def test_a_bad_pair_stops_everything_and_is_named(camvid_raw, tmp_path, spoil):
    texts = spoil(camvid_raw)
    with error_naming(PspError, *texts, "--skip-bad 1"):
        prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    assert not (tmp_path / "out").exists()


def test_voc_masks_of_another_palette_order_are_not_silently_taken(voc_raw, tmp_path):
    path = voc_raw / "VOC2012/SegmentationClass/2007_116000.png"
    save_voc_mask(path, np.full((40, 60), 147))  # what OpenCV makes of a person's color
    with error_naming(PspError, path, "147", "card voc2012"):
        prepare(VOC, voc_raw, tmp_path / "out", allow_incomplete=True)


def test_a_missing_or_empty_folder_is_said(tmp_path):
    raw, scenes = tmp_path / "raw", find_card("scenes")
    for card in (CAMVID, VOC, scenes):
        with error_naming(PspError, raw, "no such folder", "download"):
            prepare(card, raw, tmp_path / "out", allow_incomplete=True)
    raw.mkdir()
    for card in (CAMVID, VOC):
        with error_naming(PspError, raw, "empty", "download"):
            prepare(card, raw, tmp_path / "out", allow_incomplete=True)
    with error_naming(PspError, raw, "scenes", "images/{split}"):
        prepare(scenes, raw, tmp_path / "out", allow_incomplete=True)
    assert not (tmp_path / "out").exists()


def test_lists_may_have_carriage_returns_but_not_paths(voc_raw, tmp_path):
    listed = voc_raw / "VOC2012/ImageSets/Segmentation/val.txt"
    assert b"\r\n" in listed.read_bytes()
    listed.write_text("../../secret\n")
    with error_naming(PspError, listed, "line 1", "'../../secret'"):
        prepare(VOC, voc_raw, tmp_path / "out", allow_incomplete=True)
    listed.unlink()
    with error_naming(PspError, listed, "missing", "download"):
        prepare(VOC, voc_raw, tmp_path / "out", allow_incomplete=True)


def test_the_same_input_again_is_nothing_to_do_and_other_input_is_refused(camvid_raw, tmp_path):
    events = []
    first = prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    again = prepare(
        CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True, report=events.append
    )
    assert again == first
    assert events == []
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


def test_many_shards_hold_what_one_does(camvid_raw, tmp_path):
    prepare(CAMVID, camvid_raw, tmp_path / "one", allow_incomplete=True)
    size = (camvid_raw / "train/0001TP_train000.png").stat().st_size
    manifest = prepare(
        CAMVID, camvid_raw, tmp_path / "many", allow_incomplete=True, shard_mb=2.5e-6 * size
    )
    assert len(manifest["splits"]["train"]["shards"]) >= 3
    one, many = (ShardSplit(tmp_path / name, "train") for name in ("one", "many"))
    assert one.names == many.names
    for index in range(len(one)):
        assert one.image_bytes(index) == many.image_bytes(index)
        assert np.array_equal(one.label(index), many.label(index))


def test_a_killed_run_continues_and_ends_with_the_same_bytes(camvid_raw, tmp_path, monkeypatch):
    options = {"allow_incomplete": True, "shard_mb": 1e-6}  # a shard a picture
    prepare(CAMVID, camvid_raw, tmp_path / "whole", **options)
    written = []
    real = pipeline.write_shard

    def dies(path, *rest, **how):
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(path.name)
        return real(path, *rest, **how)

    monkeypatch.setattr(pipeline, "write_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare(CAMVID, camvid_raw, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(
        pipeline,
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
        patch.setattr(pipeline, "write_shard", dies)
        with pytest.raises(KeyboardInterrupt):
            prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    assert not partial.exists()  # no shard was finished: nothing of use is left
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_a_staging_file_that_cannot_be_written_is_an_error(tmp_path):
    sample = Sample("a", b"image", b"label", (1, 1), np.zeros(3, np.int64))
    with error_naming(PspError, tmp_path / "gone/train-00000", "No such file"):
        stage(tmp_path / "gone", "train-00000", sample)


def test_changed_files_are_not_mixed_with_old_shards(camvid_raw, tmp_path, monkeypatch):
    options = {"allow_incomplete": True, "shard_mb": 1e-6}
    real = pipeline.write_shard
    calls = []

    def dies(path, *rest, **how):
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(path, *rest, **how)

    monkeypatch.setattr(pipeline, "write_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare(CAMVID, camvid_raw, tmp_path / "out", **options)
    save_picture(camvid_raw / "trainannot/0001TP_train000.png", np.full((48, 64), 3, np.uint8))
    monkeypatch.setattr(pipeline, "write_shard", real)
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


def test_a_split_without_pictures_is_said(camvid_raw, tmp_path):
    """A card without the number of images, and a folder that does not exist."""
    card = replace(CAMVID, splits=(SplitEntry("train"), SplitEntry("vall")))
    with error_naming(PspError, camvid_raw, "split 'vall'", "no pictures"):
        prepare(card, camvid_raw, tmp_path / "out")
    planned = []
    prepare(card, camvid_raw, tmp_path / "out", allow_incomplete=True, report=planned.append)
    assert any("split 'vall'" in remark for remark in planned[0].remarks)


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


def test_a_gray_and_a_cmyk_picture_are_taken(camvid_raw, tmp_path):
    Image.new("L", (64, 48), 77).save(camvid_raw / "val/0001TP_val000.png")
    (camvid_raw / "val/0001TP_val001.png").unlink()
    Image.new("CMYK", (64, 48)).save(camvid_raw / "val/0001TP_val001.jpg")
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    split = ShardSplit(tmp_path / "out", "val")
    assert np.array_equal(split.image(0), np.full((48, 64, 3), 77))
    assert split.image(1).shape == (48, 64, 3)

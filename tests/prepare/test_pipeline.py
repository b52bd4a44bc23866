"""Prepare: labels equal an independent decode, and nothing wrong gets into a shard."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import save_picture, save_voc_mask
from PIL import Image

from psp.data.card import SplitEntry
from psp.data.cardfile import find_card
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.events import Notice, Progress
from psp.prepare.pipeline import prepare

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
    events = []
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True, report=events.append)
    said = [event.text for event in events if isinstance(event, Notice)]
    for split, count in (("'train'", "5 of the 367"), ("'test'", "0 of the 233")):
        assert any(split in text and count in text for text in said)
    done = [event for event in events if isinstance(event, Progress)]
    assert [event.done for event in done] == list(range(1, 9))
    assert {event.total for event in done} == {8}


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
    return ["val/0001TP_val001.png", "a web page"]


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


@pytest.mark.slow
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


def test_a_split_without_pictures_is_said(camvid_raw, tmp_path):
    """A card without the number of images, and a folder that does not exist."""
    card = replace(CAMVID, splits=(SplitEntry("train"), SplitEntry("vall")))
    with error_naming(PspError, camvid_raw, "split 'vall'", "no pictures"):
        prepare(card, camvid_raw, tmp_path / "out")
    events = []
    prepare(card, camvid_raw, tmp_path / "out", allow_incomplete=True, report=events.append)
    assert any("split 'vall'" in event.text for event in events if isinstance(event, Notice))


def test_a_gray_and_a_cmyk_picture_are_taken(camvid_raw, tmp_path):
    Image.new("L", (64, 48), 77).save(camvid_raw / "val/0001TP_val000.png")
    (camvid_raw / "val/0001TP_val001.png").unlink()
    Image.new("CMYK", (64, 48)).save(camvid_raw / "val/0001TP_val001.jpg")
    prepare(CAMVID, camvid_raw, tmp_path / "out", allow_incomplete=True)
    split = ShardSplit(tmp_path / "out", "val")
    assert np.array_equal(split.image(0), np.full((48, 64, 3), 77))
    assert split.image(1).shape == (48, 64, 3)

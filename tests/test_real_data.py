"""Real files in the official formats, where PSP_TEST_DATA names a folder of them."""

import numpy as np
import pytest
from helpers.errors import error_naming
from PIL import Image

from psp.data.cardfile import find_card
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.prepare.pipeline import prepare

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def camvid(real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("real") / "camvid"
    prepare(find_card("camvid"), real_data / "camvid", out)
    return out


@pytest.mark.slow
def test_the_whole_of_camvid(real_data, camvid):
    """All 701 pairs: bytes are the originals, labels equal an independent decode, every pixel."""
    pixels = np.zeros(12, np.int64)
    for name, count in {"train": 367, "val": 101, "test": 233}.items():
        split = ShardSplit(camvid, name)
        assert len(split) == count
        for index, stem in enumerate(split.names):
            folder = real_data / "camvid/CamVid"
            assert split.image_bytes(index) == (folder / name / f"{stem}.jpg").read_bytes()
            raw = np.array(Image.open(folder / f"{name}annot" / f"{stem}.png"))
            label = split.label(index)
            assert label.shape == (360, 480)
            assert np.array_equal(np.where(label == 255, 11, label), raw)
            pixels += np.bincount(raw.ravel(), minlength=12)
        assert split.sizes.tolist() == [[360, 480]] * count
    assert pixels.sum() == 701 * 360 * 480
    total = sum(ShardSplit(camvid, name).pixels.sum(0) for name in ("train", "val", "test"))
    assert np.array_equal(total, pixels)


@pytest.mark.slow
def test_the_road_is_at_the_bottom_and_the_sky_at_the_top(camvid):
    """The order of the classes is this set's: another tool's list would put trees in the sky."""
    split = ShardSplit(camvid, "train")
    names = split.card.names
    rows = {"sky": [], "road": []}
    for index in range(0, len(split), 25):
        label = split.label(index)
        for name, heights in rows.items():
            heights.append(np.argwhere(label == names.index(name))[:, 0].mean())
    assert np.nanmean(rows["sky"]) < 120 < 240 < np.nanmean(rows["road"])


def test_camvid_as_png_with_its_lists(real_data, tmp_path):
    manifest = prepare(
        find_card("camvid"), real_data / "camvid-png", tmp_path / "out", allow_incomplete=True
    )
    assert {k: v["images"] for k, v in manifest["splits"].items()} == {
        "train": 4,
        "val": 4,
        "test": 4,
    }


@pytest.mark.slow
def test_voc(real_data, tmp_path):
    raw = real_data / "voc2012/VOCdevkit"
    prepare(find_card("voc2012"), raw, tmp_path / "out", allow_incomplete=True)
    for name, count in {"train": 60, "val": 82}.items():
        split = ShardSplit(tmp_path / "out", name)
        assert len(split) == count
        for index, stem in enumerate(split.names):
            folder = raw / "VOC2012"
            mask = np.array(Image.open(folder / f"SegmentationClass/{stem}.png"))
            assert np.array_equal(split.label(index), mask)
            assert set(np.unique(mask)) <= {*range(21), 255}
            assert split.image_bytes(index) == (folder / f"JPEGImages/{stem}.jpg").read_bytes()


@pytest.mark.slow
def test_vocs_full_lists_need_the_full_set(real_data, tmp_path):
    """The official lists with only some of the pictures: refused, unless that is allowed."""
    tree = tmp_path / "VOC2012"
    source = real_data / "voc2012/VOCdevkit/VOC2012"
    (tree / "ImageSets/Segmentation").mkdir(parents=True)
    for folder in ("JPEGImages", "SegmentationClass"):
        (tree / folder).symlink_to(source / folder)
    for split in ("train", "val"):
        full = (source / f"ImageSets/Segmentation/{split}.full.txt").read_text()
        (tree / f"ImageSets/Segmentation/{split}.txt").write_text(full)
    with error_naming(PspError, "missing", "more files", "audit.json", "--allow-incomplete"):
        prepare(find_card("voc2012"), tmp_path, tmp_path / "out")
    manifest = prepare(find_card("voc2012"), tmp_path, tmp_path / "out", allow_incomplete=True)
    assert manifest["splits"]["train"]["images"] == 60
    assert manifest["splits"]["val"]["images"] == 82


def test_ade20k(real_data, tmp_path):
    raw = real_data / "ade20k/ADEChallengeData2016"
    prepare(find_card("ade20k"), raw, tmp_path / "out", allow_incomplete=True)
    for name, folder, count in (("train", "training", 2), ("val", "validation", 1)):
        split = ShardSplit(tmp_path / "out", name)
        assert len(split) == count
        for index, stem in enumerate(split.names):
            label = np.array(Image.open(raw / f"annotations/{folder}/{stem}.png")).astype(int)
            assert np.array_equal(split.label(index), np.where(label == 0, 255, label - 1))
            assert split.image_bytes(index) == (raw / f"images/{folder}/{stem}.jpg").read_bytes()


def test_cityscapes(real_data, tmp_path):
    raw = real_data / "cityscapes"
    with error_naming(PspError, raw, "missing", "more files", "--allow-incomplete"):
        prepare(find_card("cityscapes"), raw, tmp_path / "out")
    prepare(find_card("cityscapes"), raw, tmp_path / "out", allow_incomplete=True)
    split = ShardSplit(tmp_path / "out", "train")
    assert split.names == ["aachen_000000_000019"]
    path = raw / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    label = np.array(Image.open(path))
    scored = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    for index, value in enumerate(scored):
        assert np.array_equal(split.label(0) == index, label == value)
    assert np.array_equal(split.label(0) == 255, ~np.isin(label, scored))


@pytest.mark.slow
def test_voc_with_a_ready_folder_of_sbd_masks(real_data, tmp_path):
    """The pictures of the 20 masks here are missing: an error, unless that is allowed."""
    voc = real_data / "voc2012/VOCdevkit"
    sbd = voc / "VOC2012/SegmentationClassAug"
    with error_naming(PspError, "'train_aug'", "20 files", "--allow-incomplete"):
        prepare(find_card("voc2012"), voc, tmp_path / "out", sbd=sbd)
    manifest = prepare(find_card("voc2012"), voc, tmp_path / "out", sbd=sbd, allow_incomplete=True)
    assert manifest["splits"]["train_aug"]["images"] == 60

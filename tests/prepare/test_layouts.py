"""Layouts with PNG labels, and downloads that are taken for another data set."""

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import noise, save_picture
from PIL import Image

from psp.data.card import IGNORE
from psp.data.cardfile import find_card
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.prepare.conversion import Conversion
from psp.prepare.layouts.layout import Source
from psp.prepare.pipeline import prepare
from psp.prepare.plan import make_plan


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def plan_of(name, raw, *, sbd=None, allow_incomplete=False):
    return make_plan(Source(raw, find_card(name), sbd), Conversion(), 10**9, allow_incomplete)


@pytest.fixture
def cityscapes_raw(tmp_path, rng):
    """Two cities; the test split's labels are a dummy, as the publisher's are."""
    root = tmp_path / "cityscapes"
    for split, city, count in (("train", "aachen", 3), ("val", "lindau", 2), ("test", "bonn", 2)):
        for number in range(count):
            stem = f"{city}_{number:06d}_000019"
            save_picture(
                root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", noise(rng, 32, 64)
            )
            ids = rng.integers(0, 34, (8, 16), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
            if split == "test":
                ids[:] = 3
            for kind in ("labelIds", "instanceIds"):
                save_picture(root / f"gtFine/{split}/{city}/{stem}_gtFine_{kind}.png", ids)
    return root


def test_cityscapes_takes_label_ids_and_leaves_the_test_split_without(cityscapes_raw, tmp_path):
    out = tmp_path / "out"
    prepare(find_card("cityscapes"), cityscapes_raw, out, allow_incomplete=True)
    split = ShardSplit(out, "train")
    assert split.names == [f"aachen_{n:06d}_000019" for n in range(3)]
    table = np.full(34, IGNORE)
    for number, raw in enumerate([7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33]):
        table[raw] = number
    for index, name in enumerate(split.names):
        path = cityscapes_raw / f"gtFine/train/aachen/{name}_gtFine_labelIds.png"
        assert np.array_equal(split.label(index), table[np.array(Image.open(path))])
    test = ShardSplit(out, "test")
    assert not test.labeled and len(test) == 2 and not test.pixels.any()
    with error_naming(PspError, out, "split 'test'", "--split"):
        test.label(0)


@pytest.mark.parametrize(
    ("gone", "archive"),
    [("gtFine", "gtFine_trainvaltest.zip"), ("leftImg8bit", "leftImg8bit_trainvaltest.zip")],
)
def test_half_of_cityscapes_is_said(cityscapes_raw, tmp_path, gone, archive):
    (cityscapes_raw / gone).rename(tmp_path / "elsewhere")
    with error_naming(PspError, cityscapes_raw, archive):
        prepare(find_card("cityscapes"), cityscapes_raw, tmp_path / "out")


@pytest.fixture
def ade_raw(tmp_path, rng):
    root = tmp_path / "ADEChallengeData2016"
    for split, name, count in (("training", "train", 3), ("validation", "val", 2)):
        for number in range(count):
            stem = f"ADE_{name}_{number:08d}"
            image = root / f"images/{split}/{stem}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(rng, 40, 30 + number)).save(image)
            ids = rng.integers(0, 151, (40, 30 + number), dtype=np.uint8)
            save_picture(root / f"annotations/{split}/{stem}.png", ids)
    for number in range(2):
        save_picture(tmp_path / f"release_test/testing/ADE_test_{number}.jpg", noise(rng, 20, 20))
    return root


def test_ade20k_shifts_and_takes_the_test_pictures_beside_it(ade_raw, tmp_path):
    out = tmp_path / "out"
    manifest = prepare(find_card("ade20k"), ade_raw, out, allow_incomplete=True)
    assert {name: entry["images"] for name, entry in manifest["splits"].items()} == {
        "train": 3,
        "val": 2,
        "test": 2,
    }
    split = ShardSplit(out, "train")
    for index, name in enumerate(split.names):
        raw = np.array(Image.open(ade_raw / f"annotations/training/{name}.png")).astype(int)
        assert np.array_equal(split.label(index), np.where(raw == 0, 255, raw - 1))


def test_the_full_ade20k_is_recognized(tmp_path):
    touch(tmp_path / "ADE20K_2016_07_26/images/training/a/abbey/ADE_train_00000970_seg.png")
    with error_naming(PspError, tmp_path, "full ADE20K", "ADEChallengeData2016.zip"):
        prepare(find_card("ade20k"), tmp_path, tmp_path / "out")


def test_a_leaderboards_test_folder_is_recognized(tmp_path, rng):
    save_picture(tmp_path / "testing/ADE_test_1.jpg", noise(rng, 8, 8))
    with error_naming(PspError, tmp_path, "test set", "psp predict"):
        prepare(find_card("ade20k"), tmp_path, tmp_path / "out")
    voc = tmp_path / "VOCdevkit/VOC2012"
    save_picture(voc / "JPEGImages/2008_000001.jpg", noise(rng, 8, 8))
    with error_naming(PspError, voc, "test set", "psp predict"):
        prepare(find_card("voc2012"), tmp_path / "VOCdevkit", tmp_path / "out")


def test_a_card_of_another_set_is_told_apart(ade_raw, cityscapes_raw, voc_raw, tmp_path):
    for card, raw, right in (
        ("ade20k", cityscapes_raw, "psp prepare cityscapes"),
        ("camvid", ade_raw, "psp prepare ade20k"),
        ("cityscapes", voc_raw, "psp prepare voc2012"),
    ):
        with error_naming(PspError, raw, right):
            prepare(find_card(card), raw, tmp_path / "out")


def test_an_archive_is_not_a_folder(tmp_path):
    touch(tmp_path / "here/VOCtrainval_11-May-2012.tar")
    archive = tmp_path / "here/VOCtrainval_11-May-2012.tar"
    with error_naming(PspError, archive.parent, archive.name, "unpack"):
        prepare(find_card("voc2012"), archive.parent, tmp_path / "out")
    with error_naming(PspError, archive, "Unpack"):
        prepare(find_card("voc2012"), archive, tmp_path / "out")


def test_voc_masks_read_as_colors_or_grays_are_said(voc_raw, tmp_path):
    masks = voc_raw / "VOC2012/SegmentationClass"
    path = sorted(masks.iterdir())[0]
    palette = np.array(find_card("voc2012").palette, np.uint8)
    ids = np.array(Image.open(path))
    colors = np.where((ids == 255)[..., None], (224, 224, 192), palette[ids % 21]).astype(np.uint8)
    Image.fromarray(colors).save(path)
    with error_naming(PspError, path, "mode RGB", "official files"):
        prepare(find_card("voc2012"), voc_raw, tmp_path / "out", allow_incomplete=True)
    Image.fromarray(colors).convert("L").save(path)
    with error_naming(PspError, path, "gray levels", "official files"):
        prepare(find_card("voc2012"), voc_raw, tmp_path / "out", allow_incomplete=True)

"""Layouts: official counts and facts, odd list files, downloads taken for another."""

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import noise, save_picture
from PIL import Image

from psp.data.card import IGNORE
from psp.data.cardfile import find_card, read_card
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.prepare.convert import Conversion
from psp.prepare.layouts.layout import Source
from psp.prepare.layouts.lists import read_ids, read_list
from psp.prepare.pipeline import prepare
from psp.prepare.plan import make_plan


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def plan_of(name, raw, *, sbd=None, allow_incomplete=False):
    return make_plan(Source(raw, find_card(name), sbd), Conversion(), 10**9, allow_incomplete)


# ---- The facts of the official sets


def test_ade20k_has_150_classes_and_other_is_ignored():
    card = find_card("ade20k")
    assert len(card.classes) == 150
    assert card.raw_to_id() == {0: IGNORE, **{raw: raw - 1 for raw in range(1, 151)}}
    assert (card.names[0], card.names[12], card.names[149]) == ("wall", "person", "flag")
    assert [split.images for split in card.splits][:2] == [20210, 2000]


def test_cityscapes_has_the_19_scored_ids():
    card = find_card("cityscapes")
    scored = [7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33]
    mapping = card.raw_to_id()
    assert [raw for raw, number in mapping.items() if number != IGNORE] == scored
    assert sorted(mapping) == list(range(34))
    assert card.names[13] == "car" and card.palette[13] == (0, 0, 142)
    assert [split.images for split in card.splits] == [2975, 500, 1525]


def test_lmo_has_33_classes_and_drops_two_pictures():
    card = find_card("lmo")
    assert len(card.classes) == 33
    assert card.raw_to_id() == {0: IGNORE, **{raw: raw - 1 for raw in range(1, 34)}}
    assert card.drop == ("highway_bost181", "street_urb506")
    assert {split.name: split.images for split in card.splits} == {"train": 2486, "val": 200}


def test_context_maps_every_one_of_459_values():
    card, with_background = find_card("context"), find_card("context60")
    assert (len(card.classes), len(with_background.classes)) == (59, 60)
    kept = {raw: number for raw, number in card.raw_to_id().items() if number != IGNORE}
    assert sorted(card.raw_to_id()) == sorted(with_background.raw_to_id()) == list(range(460))
    assert sorted(kept.values()) == list(range(59))
    # Three names are spelled otherwise in the list of 459; their numbers there:
    for name, raw in {"diningtable": 397, "bedcloth": 19, "clothes": 80, "aeroplane": 2}.items():
        assert kept[raw] == card.names.index(name)
    for raw, number in with_background.raw_to_id().items():
        expected = kept[raw] + 1 if raw in kept else 0
        assert number == (IGNORE if raw == 0 else expected)
    for each in (card, with_background):
        assert {split.name: split.images for split in each.splits} == {"train": 4998, "val": 5105}


@pytest.mark.parametrize("name", ["ade20k", "camvid", "cityscapes", "context", "lmo", "voc2012"])
def test_a_card_says_where_its_set_comes_from(name, psp):
    origin = find_card(name).origin
    assert origin and origin.address and origin.terms and origin.citation and origin.how
    _, out, _ = psp("cards", "show", name, check=0)
    assert origin.address[0] in out and origin.citation in out


# ---- Full-size lists: names alone decide the counts, so empty files do


@pytest.mark.slow
@pytest.mark.data
def test_train_aug_is_exactly_10582(real_data, tmp_path):
    lists = real_data / "voc2012/lists"
    own, val, every = (read_ids(lists / f"{name}.txt") for name in ("train", "val", "train_aug"))
    voc = tmp_path / "VOC2012"
    for split, ids in {"train": own, "val": val}.items():
        path = voc / f"ImageSets/Segmentation/{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(ids) + "\n")
        for name in ids:
            touch(voc / f"SegmentationClass/{name}.png")
    for name in {*every, *val}:
        touch(voc / f"JPEGImages/{name}.jpg")
    dataset = tmp_path / "benchmark_RELEASE/dataset"
    only_sbd = sorted(set(every) - set(own))
    # SBD's lists overlap with VOC's train and val; it does not matter where.
    lists_of_sbd = {
        "train": [*only_sbd[:7000], *own[:600], *val[:500]],
        "val": [*only_sbd[7000:], *val[:9]],
    }
    for split, ids in lists_of_sbd.items():
        for name in ids:
            touch(dataset / f"cls/{name}.mat")
        (dataset / f"{split}.txt").write_text("\n".join(ids))
    plan = plan_of("voc2012", tmp_path, sbd=tmp_path / "benchmark_RELEASE")
    assert plan.images == {"train": 1464, "val": 1449, "train_aug": 10582}
    items = {split.name: items for split, items in plan.splits.items()}["train_aug"]
    assert [item.pair.name for item in items] == sorted(every)
    masks = {item.pair.name: item.pair.label for item in items}
    assert all(masks[name].suffix == ".png" for name in own)  # VOC's own mask is preferred
    assert not set(masks) & set(val)


@pytest.mark.slow
@pytest.mark.data
def test_context_is_exactly_4998_and_5105(real_data, tmp_path):
    source = real_data / "context"
    voc = tmp_path / "VOCdevkit/VOC2010"
    for split in ("train", "val"):
        path = voc / f"ImageSets/Main/{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((source / f"voc10_Main_{split}.txt").read_bytes())
        annotated = (source / f"mseg_pcontext_{split}.ids.txt").read_text().split()
        for name in set(annotated):
            touch(voc / f"JPEGImages/{name}.jpg")
            touch(tmp_path / f"trainval/{name}.mat")
    (tmp_path / "labels.txt").write_bytes((source / "fcn_classes-400.txt").read_bytes())
    for card in ("context", "context60"):
        assert plan_of(card, tmp_path).images == {"train": 4998, "val": 5105}


@pytest.mark.slow
@pytest.mark.data
def test_lmo_is_exactly_2486_and_200(real_data, tmp_path):
    source = real_data / "lmo"
    scenes = "spatial_envelope_256x256_static_8outdoorcategories"
    ids = [*read_ids(source / "fcn_trainval.txt"), *read_ids(source / "fcn_test.txt")]
    for name in [*ids, "highway_bost181", "street_urb506"]:
        touch(tmp_path / f"Images/{scenes}/{name}.jpg")
        touch(tmp_path / f"SemanticLabels/{scenes}/{name}.mat")
    (tmp_path / "TestSet1.txt").write_bytes((source / "crrn_TestSet1.txt").read_bytes())
    plan = plan_of("lmo", tmp_path)
    assert plan.images == {"train": 2486, "val": 200}
    assert any("highway_bost181, street_urb506" in remark for remark in plan.remarks)


# ---- Trees of PNG labels


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


# ---- A user's own data

OWN = """
name = "own"
title = "My own"
layout = "folders"
{labels}
classes = [
  {{ name = "grass", color = "#00ff00"{grass} }},
  {{ name = "path", color = "#806040"{path} }},
]
ignore_from = {ignore}
[splits]
{splits}
[folders]
{folders}
"""


def own_card(folder, *, colors=False, splits, folders):
    path = folder / "own.toml"
    path.write_text(
        OWN.format(
            labels='labels = "colors"' if colors else "",
            grass="" if colors else ", from = [1]",
            path="" if colors else ", from = [2]",
            ignore='["#000000"]' if colors else "[0]",
            splits=splits,
            folders=folders,
        )
    )
    return read_card(path)


@pytest.fixture
def own_raw(tmp_path, rng):
    """Photos in sub-folders, masks with the same stems and a suffix, as values and as colors."""
    root = tmp_path / "own"
    for number in range(20):
        name = (
            f"day {number % 2}/photo.{number:02d}"  # a blank and a dot: names are not split there
        )
        save_picture(root / f"photos/{name}.jpg", noise(rng, 16, 20))
        ids = rng.integers(0, 3, (16, 20), dtype=np.uint8)
        save_picture(root / f"masks/{name}_mask.png", ids)
        colors = np.array([(0, 0, 0), (0, 255, 0), (128, 96, 64)], np.uint8)[ids]
        save_picture(root / f"painted/{name}.png", colors)
    return root


def test_color_masks_become_the_same_labels_as_index_masks(own_raw, tmp_path):
    splits = "train = { fraction = 0.7 }\nval = { fraction = 0.3 }"
    index = own_card(
        tmp_path, splits=splits, folders='images = "photos"\nmasks = "masks"\nmask_suffix = "_mask"'
    )
    prepare(index, own_raw, tmp_path / "index")
    color = own_card(
        tmp_path, colors=True, splits=splits, folders='images = "photos"\nmasks = "painted"'
    )
    prepare(color, own_raw, tmp_path / "color")
    for name, count in {"train": 14, "val": 6}.items():
        one, two = ShardSplit(tmp_path / "index", name), ShardSplit(tmp_path / "color", name)
        assert one.names == two.names and len(one) == count
        for number, stem in enumerate(one.names):
            raw = np.array(Image.open(own_raw / f"masks/{stem}_mask.png")).astype(int)
            expected = np.where(raw == 0, 255, raw - 1)
            assert np.array_equal(one.label(number), expected)
            assert np.array_equal(two.label(number), expected)


def test_fractions_are_seeded_disjoint_and_steady(own_raw, tmp_path):
    def dealt(seed):
        card = own_card(
            tmp_path,
            splits="train = { fraction = 0.5 }\nval = { fraction = 0.25 }",
            folders=f'images = "photos"\nmasks = "painted"\nseed = {seed}',
            colors=True,
        )
        splits = make_plan(Source(own_raw, card), Conversion(), 10**9, False).splits
        return [{item.pair.name for item in items} for items in splits.values()]

    first, again, other = dealt(1), dealt(1), dealt(2)
    assert first == again != other
    assert [len(names) for names in first] == [10, 5] and not first[0] & first[1]


def test_odd_list_files_are_read(own_raw, tmp_path):
    (own_raw / "train.txt").write_bytes(
        b"\xef\xbb\xbfphotos\\day 0\\photo.00.jpg\r\n\r\n"
        b"/home/someone/photos/day 1/photo.01.jpg \r\n"
    )
    (own_raw / "val.txt").write_text("day 0/photo.02\n")
    card = own_card(
        tmp_path,
        splits='train = { list = "train.txt" }\nval = { list = "val.txt" }',
        folders='images = "photos"\nmasks = "painted"',
        colors=True,
    )
    prepare(card, own_raw, tmp_path / "out")
    assert ShardSplit(tmp_path / "out", "train").names == ["day 0/photo.00", "day 1/photo.01"]
    assert ShardSplit(tmp_path / "out", "val").names == ["day 0/photo.02"]


def test_two_columns_of_a_list_name_one_picture(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("/SegNet/CamVid/train/a.png /SegNet/CamVid/trainannot/a.png\nb c.png\n")
    assert read_list(path) == ["/SegNet/CamVid/train/a", "b c"]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", ["empty"]),
        (b"\r\n \r\n", ["empty"]),
        (b"a\nb\na\n", ["'a'", "lines 1 and 3"]),
        (b"a/../../b\n", ["line 1", "'a/../../b'"]),
        (b"..\\b\n", ["line 1", "'../b'"]),
        (b"\xff\xfea\n", ["cannot be read"]),
    ],
)
def test_a_wrong_list_is_refused(tmp_path, content, texts):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with error_naming(PspError, path, *texts):
        read_list(path)


def test_pictures_in_two_splits_are_told(own_raw, tmp_path):
    for name in ("train", "val"):
        (own_raw / f"{name}.txt").write_text("day 0/photo.00\n")
    card = own_card(
        tmp_path,
        splits='train = { list = "train.txt" }\nval = { list = "val.txt" }',
        folders='images = "photos"\nmasks = "painted"',
        colors=True,
    )
    plan = make_plan(Source(own_raw, card), Conversion(), 10**9, False)
    assert any("'train' and 'val'" in text and "1 pictures" in text for text in plan.remarks)


def test_a_mask_with_renumbered_colors_is_refused(voc_raw, tmp_path):
    """All its values are in the card, but mean other classes than its colors show."""
    path = sorted((voc_raw / "VOC2012/SegmentationClass").iterdir())[0]
    ids = np.array(Image.open(path))
    ids[(ids > 5) & (ids < 255) | (ids == 1)] = 0
    ids[0, :3] = (2, 4, 5)
    palette = [*find_card("voc2012").palette, *[(0, 0, 0)] * 234, (224, 224, 192)]

    def save(values, colors):
        picture = Image.fromarray(values).convert("P")
        picture.frombytes(values.tobytes())
        picture.putpalette([channel for color in colors for channel in color])
        picture.save(path)

    save(ids, palette)  # the official palette
    prepare(find_card("voc2012"), voc_raw, tmp_path / "good", allow_incomplete=True)
    used = np.unique(ids)
    renumbered = np.searchsorted(used, ids).astype(np.uint8)
    save(renumbered, [palette[value] for value in used])
    with error_naming(PspError, path, "palette", "official file"):
        prepare(find_card("voc2012"), voc_raw, tmp_path / "out", allow_incomplete=True)

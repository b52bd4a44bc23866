"""Official counts and facts. File names alone decide counts, so empty files are enough."""

import pytest

from psp.data.card import IGNORE
from psp.data.cardfile import find_card
from psp.prepare.conversion import Conversion
from psp.prepare.layouts.layout import Source
from psp.prepare.layouts.lists import read_ids
from psp.prepare.plan import make_plan


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def plan_of(name, raw, *, sbd=None, allow_incomplete=False):
    return make_plan(Source(raw, find_card(name), sbd), Conversion(), 10**9, allow_incomplete)


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


SHIPPED = ["ade20k", "bdd100k", "camvid", "cityscapes", "cocostuff10k", "cocostuff164k", "context"]


@pytest.mark.parametrize("name", [*SHIPPED, "kitti", "lmo", "mapillary", "voc2012"])
def test_a_card_says_where_its_set_comes_from(name, psp):
    origin = find_card(name).origin
    assert origin and origin.address and origin.terms and origin.citation and origin.how
    _, out, _ = psp("cards", "show", name, check=0)
    assert origin.address[0] in out and origin.citation in out


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

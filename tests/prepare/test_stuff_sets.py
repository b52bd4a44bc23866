"""COCO-Stuff, BDD100K, KITTI and Mapillary Vistas: official facts, miniature trees, mistakes."""

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.stuff_trees import (
    NUMBERS,
    bdd100k_tree,
    cocostuff10k_tree,
    cocostuff_tree,
    kitti_tree,
    mapillary_tree,
)

from psp.data.card import IGNORE
from psp.data.cardfile import find_card
from psp.data.shards import ShardSplit
from psp.errors import PspError
from psp.prepare.pipeline import prepare

COCO = find_card("cocostuff10k")
VISTAS = find_card("mapillary")


def prepared(name, raw, tmp_path):
    """Return {split: {name: class ids}} of what psp prepare makes of a folder."""
    out = tmp_path / "out"
    made = prepare(find_card(name), raw, out, allow_incomplete=True)
    found = {}
    for split in made["splits"]:
        shards = ShardSplit(out, split)
        found[split] = {
            name: shards.label(index) if shards.labeled else None
            for index, name in enumerate(shards.names)
        }
    return found


def same(found, targets):
    assert {split: sorted(items) for split, items in found.items()} == {
        split: sorted(items) for split, items in targets.items()
    }
    for split, items in targets.items():
        for name, label in items.items():
            assert (found[split][name] is None) == (label is None)
            assert label is None or np.array_equal(found[split][name], label), name


def test_the_cards_have_the_official_counts():
    expected = {
        "cocostuff164k": (171, {"train": 118287, "val": 5000}),
        "cocostuff10k": (171, {"train": 9000, "val": 1000}),
        "bdd100k": (19, {"train": 7000, "val": 1000, "test": 2000}),
        "kitti": (19, {"train": 160, "val": 40, "test": 200}),  # 200, not divided officially
        "mapillary": (65, {"train": 18000, "val": 2000, "test": 5000}),
    }
    for name, (classes, images) in expected.items():
        card = find_card(name)
        assert len(card.classes) == classes
        assert {split.name: split.images for split in card.splits} == images


def test_both_cocostuffs_have_the_same_classes_at_their_own_numbers():
    small, large = COCO, find_card("cocostuff164k")
    assert small.names == large.names and small.palette == large.palette
    kept = {raw: number for raw, number in small.raw_to_id().items() if number != IGNORE}
    assert list(kept) == NUMBERS and sorted(small.raw_to_id()) == list(range(183))
    values = {raw: number for raw, number in large.raw_to_id().items() if number != IGNORE}
    assert values == {raw - 1: number for raw, number in kept.items()}
    assert sorted(large.raw_to_id()) == [*range(182), 255]
    # By labels.txt: the first and last thing, the first and last stuff, one after a gap.
    for number, name in {1: "person", 13: "stop sign", 90: "toothbrush", 92: "banner"}.items():
        assert small.names[kept[number]] == name
    assert small.names[-1] == "wood" and small.names[80] == "banner"


def test_street_scenes_have_cityscapes_classes():
    city, bdd, kitti = map(find_card, ("cityscapes", "bdd100k", "kitti"))
    for card in (bdd, kitti):
        assert (card.names, card.palette) == (city.names, city.palette)
    assert bdd.raw_to_id() == {**{number: number for number in range(19)}, 255: IGNORE}
    assert kitti.raw_to_id() == {**city.raw_to_id(), 255: IGNORE}


def test_vistas_void_is_no_class():
    assert VISTAS.raw_to_id() == {**{number: number for number in range(65)}, 65: IGNORE}
    assert (VISTAS.names[0], VISTAS.names[13], VISTAS.names[64]) == ("Bird", "Road", "Ego Vehicle")


@pytest.mark.parametrize("maps", ["annotations", "stuffthingmaps_trainval2017"])
def test_cocostuff_reads_the_maps_and_leaves_converted_ones(tmp_path, rng, maps):
    targets = cocostuff_tree(tmp_path / "dataset", rng, maps)
    same(prepared("cocostuff164k", tmp_path, tmp_path), targets)


def test_cocostuff10k_reads_version_1_1_and_refuses_1_0(tmp_path, rng):
    targets = cocostuff10k_tree(tmp_path / "new", rng, COCO.names)
    same(prepared("cocostuff10k", tmp_path / "new", tmp_path), targets)
    cocostuff10k_tree(tmp_path / "old", rng, COCO.names, "1.0")
    with pytest.raises(PspError) as error:
        prepare(COCO, tmp_path / "old", tmp_path / "no", allow_incomplete=True)
    assert "unlabeled, person" in str(error.value) and not (tmp_path / "no").exists()


def test_bdd100k_reads_masks(tmp_path, rng):
    targets = bdd100k_tree(tmp_path / "bdd100k", rng)
    same(prepared("bdd100k", tmp_path, tmp_path), targets)


def test_every_fifth_picture_of_kitti_validates(tmp_path, rng):
    targets = kitti_tree(tmp_path / "data_semantics", rng, 7)
    test = dict.fromkeys(targets)
    val = {name: targets.pop(name) for name in ("000000_10", "000005_10")}
    found = prepared("kitti", tmp_path, tmp_path)
    same(found, {"train": targets, "val": val, "test": test})
    (tmp_path / "data_semantics/training/semantic").rename(tmp_path / "elsewhere")
    with error_naming(PspError, tmp_path, "data_semantics.zip", "training/semantic"):
        prepare(find_card("kitti"), tmp_path, tmp_path / "no")


@pytest.mark.parametrize("labels", ["labels", "v1.2/labels"])
def test_vistas_takes_the_labels_of_1_2(tmp_path, rng, labels):
    targets = mapillary_tree(tmp_path / "raw", rng, VISTAS.palette, labels)
    same(prepared("mapillary", tmp_path / "raw", tmp_path), targets)


@pytest.mark.parametrize(
    ("name", "build", "gone", "remedy"),
    [
        ("bdd100k", bdd100k_tree, "labels", "bdd100k_sem_seg_labels_trainval.zip"),
        ("bdd100k", bdd100k_tree, "images", "bdd100k_images_10k.zip"),
        ("cocostuff164k", cocostuff_tree, "annotations", "stuffthingmaps_trainval2017.zip"),
        ("cocostuff164k", cocostuff_tree, "images", "val2017.zip"),
    ],
)
def test_half_of_a_download_is_said(tmp_path, rng, name, build, gone, remedy):
    build(tmp_path / "raw", rng)
    (tmp_path / "raw" / gone).rename(tmp_path / "elsewhere")
    with error_naming(PspError, tmp_path / "raw", remedy):
        prepare(find_card(name), tmp_path / "raw", tmp_path / "out")


def test_cocostuff_is_not_taken_for_ade20k(tmp_path, rng):
    cocostuff_tree(tmp_path / "large", rng)
    cocostuff10k_tree(tmp_path / "small", rng, COCO.names)
    for folder, card in (("large", "cocostuff164k"), ("small", "cocostuff10k")):
        with error_naming(PspError, tmp_path / folder, f"psp prepare {card}"):
            prepare(find_card("ade20k"), tmp_path / folder, tmp_path / "out")


def test_vistas_2_0_alone_is_said(tmp_path, rng):
    mapillary_tree(tmp_path / "raw", rng, VISTAS.palette)
    for split in ("training", "validation"):
        (tmp_path / f"raw/{split}/v1.2").rename(tmp_path / f"{split} v1.2")
    with error_naming(PspError, tmp_path / "raw", "version 2.0", "training/v1.2/labels"):
        prepare(VISTAS, tmp_path / "raw", tmp_path / "out")
    (tmp_path / "training v1.2").rename(tmp_path / "raw/training/v1.2")
    (tmp_path / "raw/training/images").rename(tmp_path / "images")
    with error_naming(PspError, tmp_path / "raw", "pictures are missing", "training/images"):
        prepare(VISTAS, tmp_path / "raw", tmp_path / "out")
    bdd100k_tree(tmp_path / "other", rng)
    with error_naming(PspError, tmp_path / "other", "psp prepare bdd100k"):
        prepare(VISTAS, tmp_path / "other", tmp_path / "out")

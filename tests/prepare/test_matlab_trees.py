"""Data sets with MATLAB labels, prepared by the command and read back with only h5py and Pillow.

The trees and their targets are built by helpers/ from the formats' descriptions, independently of
psp's readers.
"""

import io
from itertools import pairwise

import h5py
import numpy as np
import pytest
import zstandard
from helpers.context_tree import (
    CONTEXT_ALIASES,
    CONTEXT_NAMES,
    CONTEXT_NUMBERS,
    CONTEXT_WITHOUT,
    context_tree,
)
from helpers.lmo_tree import LMO_FOLDER, LMO_UNLABELED, lmo_tree
from helpers.matlab_files import IGNORE
from helpers.sbd_tree import (
    NOWHERE,
    SBD_LISTS,
    TRAIN_IN_BOTH,
    VOC_LISTS,
    VOC_TRAIN_SBD_VAL,
    ready_aug_folder,
    sbd_tree,
)
from PIL import Image
from scipy.io import loadmat

both_versions = pytest.mark.parametrize("v73", [False, True], ids=["v5", "v7.3"])


def read_shards(out, split):
    """{id: (picture's bytes, label, histogram, (height, width))} of all shards of a split."""
    samples = {}
    for path in sorted(out.glob(f"{split}-*.h5")):
        with h5py.File(path) as file:
            names = file["name"].asstr()[:]
            sizes, pixels = file["size"][:], file["pixels"][:]
            pictures, labels = list(blobs(file["images"])), list(blobs(file["labels"]))
        assert len(names) == len(pictures) == len(labels) == len(sizes) == len(pixels)
        for name, picture, label, counts, size in zip(
            names, pictures, labels, pixels, sizes, strict=True
        ):
            assert name not in samples, f"{name} occurs twice"
            ids = np.frombuffer(zstandard.decompress(label), np.uint8).reshape(size)
            samples[name] = picture, ids, counts, tuple(size)
    return samples


def blobs(group):
    content, offsets = group["bytes"][:], group["offsets"][:]
    assert offsets[0] == 0
    assert offsets[-1] == content.size
    for start, stop in pairwise(offsets):
        yield content[start:stop].tobytes()


def count(expected, classes):
    """Pixels of each class, those to ignore last."""
    return [int((expected == value).sum()) for value in [*range(classes), IGNORE]]


def assert_prepared(out, targets, *, classes):
    for split, items in targets.items():
        samples = read_shards(out, split)
        assert set(samples) == set(items), split
        for name, (jpeg, expected) in items.items():
            picture, label, counts, size = samples[name]
            where = f"{split} {name}"
            assert picture == jpeg, where
            assert size == expected.shape, where
            np.testing.assert_array_equal(label, expected, err_msg=where)
            assert counts.tolist() == count(expected, classes), where


# ---------------------------------------------------------------------------------- the command


@pytest.mark.slow
@both_versions
def test_lmo_is_prepared_pixel_for_pixel(psp, tmp_path, rng, v73):
    raw, out = tmp_path / "SiftFlowDataset", tmp_path / "out"
    targets = lmo_tree(raw, rng, v73=v73)
    _, said, reported = psp("prepare", "lmo", raw, "-o", out, "--allow-incomplete", check=0)
    assert_prepared(out, targets, classes=33)
    told = "".join((said + reported).split())  # a line may break anywhere
    assert all(name in told for name in LMO_UNLABELED), "dropped, but not named"


@both_versions
@pytest.mark.parametrize(("card", "classes"), [("context", 59), ("context60", 60)])
def test_context_is_prepared_pixel_for_pixel(psp, tmp_path, rng, card, classes, v73):
    raw, out = tmp_path / "raw", tmp_path / "out"
    targets = context_tree(raw, rng, background=classes == 60, v73=v73)
    psp("prepare", card, raw, "-o", out, "--allow-incomplete", check=0)
    assert_prepared(out, targets, classes=classes)


def test_context_is_found_from_its_devkit(psp, tmp_path, rng):
    targets = context_tree(tmp_path / "raw", rng)
    raw, out = tmp_path / "raw/VOCdevkit", tmp_path / "out"
    psp("prepare", "context", raw, "-o", out, "--allow-incomplete", check=0)
    assert_prepared(out, targets, classes=59)


@pytest.mark.slow
@both_versions
@pytest.mark.parametrize("given", ["benchmark_RELEASE", "benchmark_RELEASE/dataset"])
def test_sbd_augments_voc_and_never_overrides_it(psp, tmp_path, rng, given, v73):
    targets = sbd_tree(tmp_path / "raw", rng, v73=v73)
    raw, out = tmp_path / "raw/VOCdevkit", tmp_path / "out"
    sbd = tmp_path / "raw" / given
    psp("prepare", "voc2012", raw, "-o", out, "--sbd", sbd, "--allow-incomplete", check=0)
    assert_prepared(out, targets, classes=21)


@pytest.mark.slow
@pytest.mark.parametrize("palette", [False, True], ids=["gray", "palette"])
def test_a_ready_folder_of_masks_does_as_well(psp, tmp_path, rng, palette):
    targets = ready_aug_folder(tmp_path / "raw", rng, palette=palette)
    raw, out = tmp_path / "raw/VOCdevkit", tmp_path / "out"
    sbd = tmp_path / "raw/SegmentationClassAug"
    psp("prepare", "voc2012", raw, "-o", out, "--sbd", sbd, "--allow-incomplete", check=0)
    assert_prepared(out, targets, classes=21)


def test_masks_of_voc_win_over_a_ready_folder(psp, tmp_path, rng):
    targets = ready_aug_folder(tmp_path / "raw", rng, disagree=True)
    raw, out = tmp_path / "raw/VOCdevkit", tmp_path / "out"
    sbd = tmp_path / "raw/SegmentationClassAug"
    psp("prepare", "voc2012", raw, "-o", out, "--sbd", sbd, "--allow-incomplete", check=0)
    assert_prepared(out, targets, classes=21)


# ----------------------------------------------------------------- what the trees would not miss

BUILDERS = {
    "lmo": (lmo_tree, {}, 33),
    "context": (context_tree, {}, 59),
    "context60": (context_tree, {"background": True}, 60),
    "sbd": (sbd_tree, {}, 21),
    "ready": (ready_aug_folder, {}, 21),
}


@pytest.fixture(params=BUILDERS)
def built(request, tmp_path, rng):
    """(targets, number of classes) of one tree."""
    build, options, classes = BUILDERS[request.param]
    return build(tmp_path, rng, **options), classes


def test_a_turned_or_mirrored_label_differs_from_its_target(built):
    targets, _ = built
    for items in targets.values():
        for name, (_, expected) in items.items():
            wrong = [
                expected.T,
                expected.ravel(order="F").reshape(expected.shape),  # columns taken for rows
                expected.T.ravel().reshape(expected.shape),
                expected[::-1],
                expected[:, ::-1],
                expected[::-1, ::-1],
            ]
            assert not any(np.array_equal(expected, other) for other in wrong), name


def test_no_label_can_stand_for_another(built):
    targets, _ = built
    items = {name: item for split in targets.values() for name, item in split.items()}
    assert len({jpeg for jpeg, _ in items.values()}) == len(items)
    labels = {(expected.shape, expected.tobytes()) for _, expected in items.values()}
    assert len(labels) == len(items)


def test_every_class_occurs_in_every_split(built):
    targets, classes = built
    for split, items in targets.items():
        seen = np.unique(np.concatenate([expected.ravel() for _, expected in items.values()]))
        assert set(range(classes)) <= set(seen.tolist()), split


def test_pictures_have_the_size_of_their_labels(built):
    targets, _ = built
    for items in targets.values():
        for jpeg, expected in items.values():
            with Image.open(io.BytesIO(jpeg)) as image:
                assert image.size == expected.shape[::-1]


@pytest.mark.parametrize("build", [lmo_tree, context_tree, sbd_tree])
def test_the_version_of_the_files_changes_no_target(tmp_path, build):
    old = build(tmp_path / "v5", np.random.default_rng(3))
    new = build(tmp_path / "v73", np.random.default_rng(3), v73=True)
    for split, items in old.items():
        assert set(new[split]) == set(items)
        for name, (jpeg, expected) in items.items():
            assert new[split][name][0] == jpeg
            np.testing.assert_array_equal(new[split][name][1], expected)


@both_versions
def test_lmo_files_hold_the_targets(tmp_path, rng, v73):
    targets = lmo_tree(tmp_path, rng, v73=v73)
    kinds = set()
    for name, (_, expected) in {**targets["train"], **targets["val"]}.items():
        path = tmp_path / "SemanticLabels" / LMO_FOLDER / f"{name}.mat"
        if v73:
            with h5py.File(path) as file:
                raw = file["S"][:].T
        else:
            raw = loadmat(path)["S"]
        kinds.add(raw.dtype.name)
        np.testing.assert_array_equal(np.where(raw == 0, IGNORE + 1.0, raw) - 1, expected)
    assert kinds == {"uint8", "float64"}


def test_context_uses_all_459_numbers_and_the_59_have_their_names(tmp_path, rng):
    targets = context_tree(tmp_path, rng)
    files = list((tmp_path / "trainval").glob("*.mat"))
    used = np.unique(np.concatenate([loadmat(path)["LabelMap"].ravel() for path in files]))
    assert used.tolist() == list(range(1, 460))
    assert len(CONTEXT_NAMES) == 459
    assert len(set(CONTEXT_NUMBERS.values())) == 59
    for name, number in CONTEXT_NUMBERS.items():
        assert CONTEXT_NAMES[number - 1] == CONTEXT_ALIASES.get(name, name)
    for split, left_out in CONTEXT_WITHOUT.items():
        assert left_out
        assert not set(left_out) & set(targets[split])


def test_sbd_and_voc_overlap_in_every_way_and_disagree(tmp_path, rng):
    targets = sbd_tree(tmp_path, rng)
    voc = {split: set(ids) for split, ids in VOC_LISTS.items()}
    sbd = {split: set(ids) for split, ids in SBD_LISTS.items()}
    for ids in sbd.values():
        assert ids & voc["train"]
        assert ids & voc["val"]
        assert ids - voc["train"] - voc["val"]
    for split, ids in voc.items():
        assert ids - sbd["train"] - sbd["val"], split
    wanted = (sbd["train"] | sbd["val"] | voc["train"]) - voc["val"]
    assert set(targets["train_aug"]) == wanted
    assert NOWHERE not in wanted
    for name in [*TRAIN_IN_BOTH, *VOC_TRAIN_SBD_VAL]:
        stored = loadmat(tmp_path / f"benchmark_RELEASE/dataset/cls/{name}.mat")
        theirs = stored["GTcls"][0]["Segmentation"][0]
        expected = targets["train_aug"][name][1]
        assert IGNORE not in theirs
        assert IGNORE in expected
        assert (theirs[expected != IGNORE] != expected[expected != IGNORE]).any()

"""What is allowed but seldom meant is said, and what is usual is not."""

import cv2
import numpy as np
import pytest
from helpers.trees import save_picture

CARD = """
name = "town"
title = "Town"
layout = "folders"
classes = [{classes}]
{ignore}
[folders]
images = "photos/{{split}}"
masks = "masks/{{split}}"
[splits]
train = {{}}
val = {{}}
"""
CLASSES = ("grass", "path", "tree")


def prepare(psp, tmp_path, labels, *, classes=CLASSES, ignore="", photos=None, extra=()):
    """Prepare labels {split: {name: (H, W)}} with noise as photos; return what was said."""
    rng = np.random.default_rng(1)
    for split, masks in labels.items():
        for name, label in masks.items():
            photo = rng.integers(0, 256, (*label.shape, 3), dtype=np.uint8)
            photo = (photos or {}).get(name, photo)
            save_picture(tmp_path / f"raw/photos/{split}/{name}.png", photo)
            save_picture(tmp_path / f"raw/masks/{split}/{name}.png", label.astype(np.uint8))
    entries = ", ".join(
        f'{{ name = "{name}", color = "#{40 * i + 9:02x}0000", from = [{i}] }}'
        for i, name in enumerate(classes)
    )
    (tmp_path / "town.toml").write_text(CARD.format(classes=entries, ignore=ignore))
    return psp("prepare", "town.toml", "raw", "-o", "data", *extra, check=0)[2]


def patches(seed, classes=3):
    return np.random.default_rng(seed).integers(0, classes, (4, 5)).repeat(12, 0).repeat(12, 1)


def usual():
    return {
        "train": {f"t{k}": patches(k) for k in range(4)},
        "val": {f"v{k}": patches(k + 50) for k in range(2)},
    }


def test_nothing_is_said_of_a_usual_set(psp, tmp_path):
    said = prepare(psp, tmp_path, usual())
    words = ("same", "thin", "only one class", "never trained", "one and the same")
    words += ("ignored", "no label holds", "as pictures")
    assert not [word for word in words if word in said], said


@pytest.mark.parametrize("how", ["bytes", "content"])
def test_a_picture_in_two_splits_is_named(psp, tmp_path, how):
    labels = usual()
    labels["val"]["copy"] = labels["train"]["t1"]
    photo = np.random.default_rng(9).integers(0, 256, (48, 60, 3), dtype=np.uint8)
    other = photo if how == "bytes" else np.ascontiguousarray(photo // 2)  # saved another way
    said = prepare(psp, tmp_path, labels, photos={"t1": photo, "copy": other})
    assert "'train' and 'val'" in said and "t1 = copy" in said


def test_smoothly_resized_masks_are_suspected(psp, tmp_path):
    labels = {}
    for split, count in {"train": 4, "val": 1}.items():
        labels[split] = {}
        for k in range(count):
            large = 2 * patches(k + 7, classes=2).repeat(4, 0).repeat(4, 1).astype(np.uint8)
            labels[split][f"{split}{k}"] = cv2.resize(large, (71, 57))
    said = prepare(psp, tmp_path, labels)
    assert "'path'" in said and "resized smoothly" in said


def test_a_class_in_validation_alone_is_named(psp, tmp_path):
    labels = usual()
    labels["train"] = {name: np.minimum(label, 1) for name, label in labels["train"].items()}
    said = prepare(psp, tmp_path, labels)
    assert "'val'" in said and "never trained on: tree" in said


def test_one_class_alone_and_labels_of_one_value_are_named(psp, tmp_path):
    labels = {s: {n: np.ones_like(m) for n, m in masks.items()} for s, masks in usual().items()}
    said = prepare(psp, tmp_path, labels)
    assert "'train'" in said and "one and the same class" in said
    single = {s: {n: np.minimum(m, 1) for n, m in masks.items()} for s, masks in usual().items()}
    said = prepare(
        psp, tmp_path, single, classes=["grass"], ignore="ignore_from = [1]", extra=["--overwrite"]
    )
    assert "only one class, 'grass'" in said and "background" in said


@pytest.mark.slow
def test_labels_without_a_class_and_classes_without_a_label_are_named(psp, tmp_path):
    labels = usual()
    labels["train"] = {name: np.minimum(label, 1) for name, label in labels["train"].items()}
    labels["val"] = {name: np.minimum(label, 1) for name, label in labels["val"].items()}
    labels["train"]["t2"] = np.full_like(labels["train"]["t2"], 255)
    said = prepare(psp, tmp_path, labels, ignore="ignore_from = [255]")
    assert "1 of 4 labels" in said and "t2" in said and "no label holds tree" in said
    for label in labels["train"].values():
        label[1:] = 255
    said = prepare(psp, tmp_path, labels, ignore="ignore_from = [255]", extra=["--overwrite"])
    assert "'train'" in said and "of all pixels are ignored" in said


def test_masks_given_as_pictures_are_suspected(psp, tmp_path):
    labels = usual()
    masks = {**labels["train"], **labels["val"]}
    photos = {name: np.stack([label.astype(np.uint8) * 60] * 3, 2) for name, label in masks.items()}
    assert "masks given as pictures" in prepare(psp, tmp_path, labels, photos=photos)

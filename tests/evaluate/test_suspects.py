"""Masks that the network contradicts come first, with the contradiction in words."""

import json
import shutil

import numpy as np
import pytest
from helpers.trees import save_picture, small_card
from PIL import Image

from psp.evaluate.alignment import best_offset, grid, in_words


@pytest.fixture
def agreeing(journey, psp, tmp_path):
    """A set whose masks are what the network itself predicts; the names of its pictures."""
    run, pictures = journey.folder / "run", journey.folder / "raw/images/train"
    psp("predict", pictures, "-m", run, "-o", "predicted", "--flip", "--blend", "uniform", check=0)
    names = []
    for path in sorted(pictures.iterdir()):
        mask = np.array(Image.open(tmp_path / f"predicted/labels/{path.stem}.png"))
        for split in ("train", "val"):
            (tmp_path / f"raw/images/{split}").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / f"raw/images/{split}/{path.name}")
            save_picture(tmp_path / f"raw/labels/{split}/{path.stem}.png", mask)
        names.append(path.stem)
    text = small_card().replace("{ images = 12 }", "{}").replace("{ images = 4 }", "{}")
    (tmp_path / "tiny.toml").write_text(text)
    return names


def suspects(psp, run, *more):
    psp("prepare", "tiny.toml", "raw", "-o", "shards", check=0)
    _, out, _ = psp("suspects", run, "--data", "shards", "--json", *more, check=0)
    return json.loads(out)


def spoil(tmp_path, name, change):
    path = tmp_path / f"raw/labels/val/{name}.png"
    save_picture(path, change(np.array(Image.open(path))))


def test_spoiled_masks_come_first_and_others_have_no_doubt(journey, agreeing, psp, tmp_path):
    swapped, emptied = agreeing[3], agreeing[7]
    before = np.array(Image.open(tmp_path / f"raw/labels/val/{swapped}.png"))
    largest = int(np.bincount(before.ravel()).argmax())
    other = (largest + 1) % 9
    spoil(tmp_path, swapped, lambda mask: np.where(mask == largest, other, mask).astype(np.uint8))
    spoil(tmp_path, emptied, lambda mask: np.full_like(mask, 255))
    found = suspects(psp, journey.folder / "run", "--split", "val", "-n", "100")
    assert [item["name"] for item in found[:2]] == [emptied, swapped]
    assert "labeled" in found[0]["reason"]
    names = json.loads((tmp_path / "predicted/settings.json").read_text())["classes"]
    assert f"'{names[other]}'" in found[1]["reason"] and f"'{names[largest]}'" in found[1]["reason"]
    assert all(item["doubt"] < 0.01 for item in found[2:]) and len(found) == len(agreeing)


@pytest.mark.parametrize(("down", "right"), [(0, 6), (-3, 0), (4, -5), (0, 0)])
def test_the_offset_of_shapes_is_measured(down, right):
    """On a picture of two pixels a cell; what has no border has no offset."""
    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 3, (8, 12)), np.ones((11, 10))).astype(np.uint8)  # (88, 120)
    certain = np.eye(3, dtype=np.float32)[label].transpose(2, 0, 1) * 0.7 + 0.1
    shifted = np.roll(label, (down, right), axis=(0, 1))
    offset = best_offset(certain, shifted, (176, 240))
    assert (offset.down, offset.right) == (-2 * down, -2 * right)
    assert (offset.gain > 0.1) == bool(down or right)
    assert best_offset(certain, np.zeros_like(label), (176, 240)) is None
    assert len(grid(176, 240)) == 88 and len(grid(240, 240)) == 120
    if down and right:
        assert in_words(offset) == "10 pixels further right and 8 further up"


def test_all_labeled_splits_are_looked_at_and_n_are_listed(journey, agreeing, psp):
    found = suspects(psp, journey.folder / "run", "-n", "5")
    assert len(found) == 5
    _, out, _ = psp("suspects", journey.folder / "run", "--data", "shards", check=0)
    assert "picture" in out and len(out.splitlines()) == 21


def test_without_shards_or_with_others_it_is_said(journey, psp, tmp_path):
    weights = journey.folder / "run/best.safetensors"
    _, _, err = psp("suspects", weights, check=2)
    assert "--data" in err

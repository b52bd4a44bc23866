"""The painted scenes: context decides, and the generator's promises hold."""

import numpy as np
import pytest

from psp.data.cardfile import find_card
from psp.data.scenes import (
    BOAT,
    BUILDING,
    CABINET,
    CAR,
    ROAD,
    WATER,
    SceneSpec,
    paint,
    paint_set,
)


def scenes(count=60, **fields):
    return [paint(SceneSpec(**fields), np.random.default_rng(k)) for k in range(count)]


def test_labels_are_the_cards_and_every_class_occurs():
    known = set(find_card("scenes").raw_to_id())
    seen = set()
    for image, label in scenes():
        assert image.shape == (96, 128, 3) and image.dtype == label.dtype == np.uint8
        assert set(np.unique(label)) <= known
        seen |= set(np.unique(label))
    assert set(range(9)) <= seen


@pytest.mark.slow
def test_surroundings_and_not_looks_decide_the_class():
    """A boat comes only with water, a car only with road; their colors are drawn alike."""
    means = {BOAT: [], CAR: []}
    for image, label in scenes(400):
        present = set(np.unique(label))
        assert (BOAT in present) == (WATER in present)
        assert (CAR in present) == (ROAD in present)
        assert not {BUILDING, CABINET} <= present
        for kind, found in means.items():
            if kind in present:
                found.append(image[label == kind].mean())
    boats, cars = np.array(means[BOAT]), np.array(means[CAR])
    assert abs(boats.mean() - cars.mean()) < 8  # gray levels; both near 125
    assert abs(boats.std() - cars.std()) < 8


def test_mist_keeps_the_cue_at_its_distance():
    distance = 15
    for _, label in scenes(20, cue_distance=distance):
        objects = np.argwhere(np.isin(label, [BOAT, CAR, BUILDING, CABINET]))
        cues = np.argwhere(~np.isin(label, [BOAT, CAR, BUILDING, CABINET, 255]))
        if len(cues) and len(objects):
            picks = objects[:: max(1, len(objects) // 50)]
            gaps = np.sqrt(((picks[:, None] - cues[None]) ** 2).sum(-1)).min()
            assert gaps > distance - 1


def test_sizes_are_as_asked():
    image, _ = paint(SceneSpec(height=200, width=300), np.random.default_rng(0))
    assert image.shape == (200, 300, 3)
    small = scenes(40, object_size=(0.1, 0.15))
    large = scenes(40, object_size=(0.6, 0.7))
    area = [
        np.mean([np.isin(label, [BOAT, CAR, BUILDING, CABINET]).mean() for _, label in group])
        for group in (small, large)
    ]
    assert area[0] < 0.2 * area[1]


def test_the_same_seed_paints_the_same_files(tmp_path):
    for name in ("one", "two"):
        assert len(list(paint_set(tmp_path / name, {"train": 3, "val": 2}, seed=5))) == 5
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.png"))
    assert len(files) == 10
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    first = [(tmp_path / f"one/images/{split}/0000.png").read_bytes() for split in ("train", "val")]
    assert first[0] != first[1]

"""The stream of crops is a function of (seed, step, position), whatever the workers."""

import hashlib
import multiprocessing
import os
import signal

import numpy as np
import pytest
from helpers.errors import error_naming
from helpers.trees import save_picture

from psp.data.cardfile import find_card
from psp.data.loader import Crops, LoadingError, batches
from psp.data.manifest import ShardError
from psp.data.shards import ShardSplit
from psp.prepare.pipeline import prepare
from psp.settings.augmentation import Augmentation


@pytest.fixture
def split(camvid_raw, tmp_path):
    prepare(find_card("camvid"), camvid_raw, tmp_path / "out", allow_incomplete=True)
    return ShardSplit(tmp_path / "out", "train")


def digests(split, workers, steps, batch=4, seed=3):
    crops = Crops(split, Augmentation(crop=41), seed)
    return [
        hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
        for images, labels in batches(crops, batch, steps, workers, pin=False)
    ]


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_stream(split):
    alone = digests(split, 0, range(5))
    assert digests(split, 1, range(5)) == alone
    assert digests(split, 3, range(5)) == alone
    assert len(set(alone)) == 5


def test_starting_in_the_middle_of_an_epoch_gives_the_rest_of_the_stream(split):
    assert digests(split, 2, range(3, 6)) == digests(split, 0, range(6))[3:]


def test_another_seed_gives_another_stream(split):
    assert digests(split, 0, range(2), seed=4) != digests(split, 0, range(2), seed=3)


def test_every_picture_comes_once_an_epoch_in_a_new_order(split):
    crops = Crops(split, Augmentation(crop=41), 0)
    epochs = [[crops.index(k) for k in range(e * 6, e * 6 + 6)] for e in range(5)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_crops_of_classes_show_all_classes_equally_often(tmp_path, camvid_raw):
    """Also one that a single picture has, in its corner."""
    for path in (camvid_raw / "trainannot").iterdir():
        label = np.zeros((48, 64), np.uint8)
        label[20:30] = 3
        if path.stem.endswith("004"):
            label[44:, 60:] = 7
        save_picture(path, label)
    prepare(find_card("camvid"), camvid_raw, tmp_path / "out", allow_incomplete=True)
    split = ShardSplit(tmp_path / "out", "train")
    crops = Crops(split, Augmentation(crop=25, class_crops=1.0), 0)
    drawn = [crops.draws(number) for number in range(300)]
    ids, counts = np.unique([draw.class_id for draw in drawn], return_counts=True)
    assert ids.tolist() == [0, 3, 7] and counts.min() > 75
    assert {crops.index(number) for number, draw in enumerate(drawn) if draw.class_id == 7} == {4}
    for number, draw in enumerate(drawn[:60]):
        assert (crops[number][1] == draw.class_id).any()


def test_a_share_of_crops_looks_for_classes_and_the_others_stay_as_they_are(split):
    plain, mixed = (Crops(split, Augmentation(crop=41, class_crops=s), 0) for s in (0.0, 0.3))
    asked = [number for number in range(400) if mixed.draws(number)]
    assert 0.2 < len(asked) / 400 < 0.4
    others = [number for number in range(40) if number not in asked]
    assert all((plain[k][0] == mixed[k][0]).all() for k in others)
    again = Crops(split, Augmentation(crop=41, class_crops=0.3), 0)
    assert all((again[k][0] == mixed[k][0]).all() for k in reversed(asked[:5]))
    assert [plain.draws(number) for number in range(20)] == [None] * 20


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_sample_is_one_line_from_any_process(split, workers):
    data = bytearray(split.paths[0].read_bytes())
    data[data.index(split.image_bytes(2)) + len(split.image_bytes(2)) // 2] ^= 1
    split.paths[0].write_bytes(data)
    with error_naming(ShardError, split.paths[0], "sample '0001TP_train002'", "damaged"):
        digests(split, workers, range(2))


def test_shapes_and_types(split):
    crops = Crops(split, Augmentation(crop=41), 0)
    images, labels = next(batches(crops, 4, range(1), 0, pin=False))
    assert (images.shape, labels.shape) == ((4, 41, 41, 3), (4, 41, 41))
    assert images.numpy().dtype == labels.numpy().dtype == np.uint8
    assert set(np.unique(labels.numpy())) <= {*range(11), 255}


def test_loading_processes_need_room_in_shared_memory(monkeypatch):
    import psp.data.loader as loader

    free = loader.shutil.disk_usage(loader.SHARED_MEMORY).free
    assert loader.workers_that_fit(4, 1000) == 4
    assert loader.workers_that_fit(4, free) == 0
    assert loader.workers_that_fit(0, free) == 0
    assert loader.workers_that_fit(4, free // (2 * loader.BATCHES_PER_WORKER) - 1) == 2


def test_a_killed_loading_process_is_named_and_the_shards_are_not_blamed(split):
    """It is seen at a next batch; nothing is raised in the middle of what is done meanwhile."""
    before = signal.getsignal(signal.SIGCHLD)
    crops = Crops(split, Augmentation(crop=41), 1)
    stream = batches(crops, 2, range(10_000), 1, pin=False)
    next(stream)
    assert signal.getsignal(signal.SIGCHLD) == before
    (loader,) = multiprocessing.active_children()
    os.kill(loader.pid, signal.SIGKILL)
    with pytest.raises(LoadingError, match="killed.*out of memory") as error:
        for _ in stream:
            pass
    assert "prepare" not in str(error.value)

"""On a disk that answers slowly, reads are few and whole, in order, and several at a time.

A sleep in every read stands for the disk of another machine.
"""

import os
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from psp.data.cardfile import find_card
from psp.data.loader import Crops
from psp.data.shards import ShardSplit
from psp.evaluate.count import predict_samples
from psp.prepare.pipeline import prepare
from psp.settings.augmentation import Augmentation

DELAY = 0.03  # seconds of each read


class SlowReads:
    """os.pread, but slow; `places` are the (inode, position, bytes) of all reads, in order."""

    def __init__(self):
        self.pread, self.places = os.pread, []
        self.now = self.most = 0  # how many are under way
        self.lock = threading.Lock()

    def __call__(self, handle, length, position):
        with self.lock:
            self.places.append((os.fstat(handle).st_ino, position, length))
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(DELAY)
        with self.lock:
            self.now -= 1
        return self.pread(handle, length, position)


@pytest.fixture
def split(camvid_raw, tmp_path):
    prepare(find_card("camvid"), camvid_raw, tmp_path / "out", allow_incomplete=True)
    return ShardSplit(tmp_path / "out", "train")


@pytest.fixture
def reads(monkeypatch):
    slow = SlowReads()
    monkeypatch.setattr(os, "pread", slow)
    return slow


def test_scoring_reads_each_picture_and_label_once_in_order_and_ahead(split, reads, monkeypatch):
    monkeypatch.setattr("psp.evaluate.count.cores", lambda: 4)
    blank = torch.zeros(48, 64, dtype=torch.uint8)
    model = SimpleNamespace(device=torch.device("cpu"), label_map=lambda *arguments: blank)
    begin = time.perf_counter()
    done = list(predict_samples(model, split, SimpleNamespace(windows_text=""), range(len(split))))
    assert time.perf_counter() - begin < DELAY * len(reads.places)
    assert [sample.index for sample in done] == list(range(len(split)))
    assert reads.most >= 3
    assert len(reads.places) == len(set(reads.places)) == 2 * len(split)
    images = sorted(reads.places, key=lambda place: place[1])[: len(split)]
    order = [reads.places.index(place) for place in images]
    assert all(later > earlier - 4 for earlier, later in pairwise(order))


@pytest.mark.slow
def test_a_crop_is_two_reads_from_a_file_that_stays_open(split, reads):
    crops = Crops(split, Augmentation(crop=33), 0)
    for number in range(2 * len(split)):
        crops[number]
    assert len(reads.places) == 4 * len(split)
    sizes = {length for _, _, length in reads.places}
    assert len({file for file, _, _ in reads.places}) == 1 and min(sizes) > 0

"""A step that does not fit the memory, and --batch auto."""

import re
import resource

import pytest
import torch

from psp.data.shards import ShardSplit
from psp.device import memory_ran_out
from psp.errors import PspError
from psp.events import Notice
from psp.model import pspnet
from psp.runs import Run
from psp.settings.sources import resolve
from psp.train.loop import train
from psp.train.memory import MEMINFO, largest_that_fits, memory_limit

CPU = torch.device("cpu")


def run_with(journey, tmp_path, **settings):
    """What train() is given for the painted scenes, with some settings of the test's own."""
    shards = journey.folder / "shards"
    recipe = ShardSplit(shards, "train").card.recipe
    return shards, Run(tmp_path / "run"), resolve(recipe, {}, "test").changed(**settings)


def test_the_largest_that_fits_is_found():
    sizes = list(range(30, 0, -1))
    for limit in range(32):
        index = largest_that_fits(sizes, lambda size, limit=limit: size <= limit)
        assert sizes[index:][:1] == ([min(limit, 30)] if limit else [])
    assert largest_that_fits([], lambda size: True) == 0


def test_what_counts_as_memory_ran_out():
    assert memory_ran_out(torch.OutOfMemoryError("CUDA out of memory."))
    assert not memory_ran_out(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 50)
    assert memory_ran_out(error.value)


@pytest.fixture
def small_device(monkeypatch):
    """A device on which no more than 4 pictures of 137 fit."""
    forward = pspnet.PSPNet.forward

    def limited(self, images):
        if self.training and images.shape[0] * images.shape[2] ** 2 > 4 * 137**2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, images)

    monkeypatch.setattr(pspnet.PSPNet, "forward", limited)


def test_a_step_that_does_not_fit_is_answered_with_the_ways_to_need_less(
    journey, tmp_path, small_device
):
    with pytest.raises(PspError) as error:
        train(*run_with(journey, tmp_path, batch=8, crop=137), device=CPU)
    text = str(error.value)
    assert "out of memory on cpu" in text and "8 pictures of 137" in text
    assert "--batch auto" in text and "--batch 4" in text and "--crop" in text


def test_one_picture_at_a_time_too_many_leaves_the_crop(journey, tmp_path, small_device):
    with pytest.raises(PspError) as error:
        train(*run_with(journey, tmp_path, batch=64, crop=281, accumulate=32), device=CPU)
    text = str(error.value)
    assert "2 pictures of 281" in text and "--crop" in text and "--batch" not in text


@pytest.mark.skipif(not MEMINFO.exists(), reason="Linux says what is free there")
def test_a_cpus_memory_ends_where_nothing_is_free():
    free = int(re.search(r"MemAvailable:\s+(\d+)", MEMINFO.read_text())[1]) * 1024
    with memory_limit(CPU), pytest.raises(RuntimeError) as error:
        torch.empty(free + (1 << 30), dtype=torch.uint8)
    assert memory_ran_out(error.value)
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY


@pytest.mark.slow
def test_auto_takes_as_few_parts_as_fit_and_leaves_no_trace(journey, tmp_path, small_device):
    shards = journey.folder / "shards"
    recipe = ShardSplit(shards, "train").card.recipe
    sizes = {"batch": 8, "crop": 137, "steps": 2, "eval_every": 2}
    given = resolve(recipe, {}, "test").changed(**sizes, accumulate=2)
    auto = given.changed(accumulate=None)
    events = []
    train(shards, Run(tmp_path / "given"), given, device=CPU)
    train(shards, Run(tmp_path / "auto"), auto, device=CPU, report=events.append)
    assert Notice("batch=auto: 4 pictures of 137 fit cpu at once") in events
    notice = "accumulate=2: batch norm sees 4 pictures at a time, not the 8 of a step"
    assert Notice(notice) in events
    assert Run(tmp_path / "auto").training_config() == given
    one, other = ((tmp_path / name / "last.safetensors").read_bytes() for name in ("given", "auto"))
    assert one == other
    assert train(shards, Run(tmp_path / "auto"), auto, device=CPU, resume=True)


def test_auto_says_so_where_not_even_the_smallest_part_fits(journey, tmp_path, small_device):
    with pytest.raises(PspError) as error:
        train(*run_with(journey, tmp_path, batch=8, crop=281, accumulate=None), device=CPU)
    assert "out of memory on cpu" in str(error.value) and "--crop" in str(error.value)
    assert not (tmp_path / "run").exists()

"""What a step that does not fit is answered with: sizes that were tried and do."""

import re
import resource
from dataclasses import replace

import pytest
import torch

from psp.data.shards import ShardSplit
from psp.device import memory_ran_out
from psp.errors import PspError
from psp.model import pspnet
from psp.runs import Run
from psp.settings.sources import resolve
from psp.train.loop import train
from psp.train.memory import MEMINFO, _end_of_memory, largest
from psp.train.run_log import Notice

CPU = torch.device("cpu")


def test_the_largest_that_fits_is_found():
    sizes = list(range(30, 0, -1))
    for limit in range(32):
        assert largest(sizes, lambda size, limit=limit: size <= limit) == (min(limit, 30) or None)
    assert largest([], lambda size: True) is None


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


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"batch": 8, "crop": 137},
            "out of memory on cpu with 8 pictures of 137. What fits: --batch 4; or the same batch "
            "in parts: --set accumulate=2 (batch norm then sees 4 pictures); or --crop 89",
        ),
        (
            {"batch": 6, "crop": 137},
            "out of memory on cpu with 6 pictures of 137. What fits: --batch 3; or the same batch "
            "in parts: --set accumulate=2 (batch norm then sees 3 pictures); or --crop 89",
        ),
        (
            {"batch": 64, "crop": 281, "accumulate": 32},
            "out of memory on cpu with 2 pictures of 281. What fits: --crop 185",
        ),
    ],
)
def test_the_error_names_what_fits(journey, tmp_path, small_device, sizes, message):
    shards = journey.folder / "shards"
    recipe = ShardSplit(shards, "train").card.recipe
    config = replace(resolve(recipe, {}, "test"), **sizes)
    with pytest.raises(PspError) as error:
        train(shards, Run(tmp_path / "run"), config, device=torch.device("cpu"))
    assert str(error.value) == message


@pytest.mark.skipif(not MEMINFO.exists(), reason="Linux says what is free there")
def test_a_cpus_memory_ends_where_nothing_is_free():
    free = int(re.search(r"MemAvailable:\s+(\d+)", MEMINFO.read_text())[1]) * 1024
    with _end_of_memory(CPU), pytest.raises(RuntimeError) as error:
        torch.empty(free + (1 << 30), dtype=torch.uint8)
    assert memory_ran_out(error.value)
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY


def test_auto_takes_as_few_parts_as_fit_and_leaves_no_trace(journey, tmp_path, small_device):
    shards = journey.folder / "shards"
    recipe = ShardSplit(shards, "train").card.recipe
    sizes = {"batch": 8, "crop": 137, "steps": 2, "eval_every": 2}
    given = replace(resolve(recipe, {}, "test"), **sizes, accumulate=2)
    auto = replace(given, accumulate=None)
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


def test_auto_says_what_fits_where_no_part_does(journey, tmp_path, small_device):
    shards = journey.folder / "shards"
    recipe = ShardSplit(shards, "train").card.recipe
    config = replace(resolve(recipe, {}, "test"), batch=8, crop=281, accumulate=None)
    with pytest.raises(PspError) as error:
        train(shards, Run(tmp_path / "run"), config, device=CPU)
    assert str(error.value) == (
        "out of memory on cpu with 2 pictures of 281. What fits: --crop 185"
    )
    assert not (tmp_path / "run").exists()

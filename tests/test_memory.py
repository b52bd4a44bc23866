"""What a step that does not fit is answered with: sizes that were tried and do."""

from dataclasses import replace

import pytest
import torch

from psp.device import memory_ran_out
from psp.errors import PspError
from psp.memory import largest
from psp.model import pspnet
from psp.runs import Run
from psp.settings import resolve
from psp.shards import ShardSplit
from psp.train import train


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
